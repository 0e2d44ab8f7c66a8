"""`slad report`: what share of promises was kept."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click
from rich.text import Text
from slad_client.v1 import attainment_pb2 as pb

from slad.cli import time_text
from slad.cli.attainment_file import cells_of, export_entries, figure_of, has
from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.exits import CommandError
from slad.cli.help import example
from slad.cli.option_types import INSTANT, EnumWords, Parsed, TypedInstant
from slad.cli.output import Cell, Printer, counted, fancy, note, output_option, show, table, wide
from slad.cli.report_options import Grouping, grouping_options, groups_of, parse_month, period
from slad.core.instants import MINUTE_MS

BAR_CELLS: Final = 10

_INSTANTS: Final = {
    "due": pb.SLA_REPORT_BY_DUE,
    "closed": pb.SLA_REPORT_BY_CLOSED,
    "opened": pb.SLA_REPORT_BY_OPENED,
}
_COUNTS: Final = ("met", "missed", "missed_excused", "none", "open_overdue", "open_in_time")
_RATES: Final = ("attainment", "attainment_with_open", "attainment_excused", "paused_share")
_SPANS: Final = ("elapsed_p50", "elapsed_p90", "elapsed_max")


@click.command(
    epilog=example(
        "slad report acme --month 2026-10 --by policy,priority",
        "slad report acme --month 2026-10 --unfold --only missed,open-overdue",
        "slad report acme --from 2026-01-01 --to 2027-01-01 --export 2026.db",
    )
)
@click.argument("tenant_id", metavar="TENANT")
@click.option(
    "--month",
    type=Parsed("month", parse_month),
    metavar="MONTH",
    help="The month, such as 2026-10. By default this one.",
)
@click.option("--from", "begin", type=INSTANT, metavar="INSTANT", help="The period begins here. Needs --to.")
@click.option("--to", "end", type=INSTANT, metavar="INSTANT", help="The period ends before this instant.")
@click.option(
    "--instant",
    type=click.Choice(list(_INSTANTS)),
    default="due",
    show_default=True,
    help="The instant of a promise that must be in the period.",
)
@grouping_options
@click.option("--clock", "clocks", multiple=True, metavar="NAME", help="Only this clock; may repeat.")
@click.option(
    "--as-of", type=INSTANT, metavar="INSTANT", help="What was known at this instant. By default now."
)
@click.option("--unfold", is_flag=True, help="List the promises that are counted, one a line.")
@click.option(
    "--only",
    "figures",
    type=EnumWords(pb.SlaFigure.DESCRIPTOR, "SLA_FIGURE_"),
    default=(),
    help="With --unfold: only what these figures count; separate several by commas.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, times in UTC.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the promises to a new SQLite file instead, with the view `attainment`.",
)
@output_option("table", "wide", "json", "yaml")
@daemon_options
def report(
    daemon: Daemon,
    tenant_id: str,
    month: tuple[int, int] | None,
    begin: TypedInstant | None,
    end: TypedInstant | None,
    instant: str,
    by: Grouping,
    timezone: str,
    clocks: tuple[str, ...],
    as_of: TypedInstant | None,
    unfold: bool,
    figures: tuple[int, ...],
    as_csv: bool,
    export: Path | None,
    out: Printer,
) -> None:
    """Show what share of promises was kept, for whom, and why not.

    A promise is one cycle of a clock. KEPT is the share of MET among MET and MISSED. OVERDUE counts those
    that are open and past their target. P90 is the open time within which nine of ten were done. To get the
    same figures again later, give the --as-of that the report shows below its first line.
    """
    if as_csv and not out.is_for_people:
        raise CommandError("--csv and -o contradict each other; give one")
    if figures and not (unfold or export):
        raise CommandError("--only goes with --unfold or --export")
    from_time, to_time = period(month, begin, end, timezone)
    asked: dict[str, Any] = {
        "tenant_id": tenant_id,
        "from_time": from_time,
        "to_time": to_time,
        "timezone": timezone,
        "by": _INSTANTS[instant],
        "group_by": by.keys,
        "attributes": by.attributes,
        "clocks": clocks,
        "as_of": as_of.aware(timezone) if as_of else None,
    }
    with daemon.client() as client:
        if unfold or export is not None:
            chosen = [pb.SlaFigure.ValueType(number) for number in figures]
            with closing(client.unfold_sla_report(**asked, figures=chosen)) as replies:
                entries = (entry for reply in replies for entry in reply.entries)
                if export is not None:
                    count = export_entries(export, entries, _about(asked, instant))
                    click.echo(f"wrote {counted(count, 'promise')} to {export}")
                else:
                    _unfolded(entries, out, timezone, as_csv=as_csv)
            return
        reply = client.report_sla(**asked)
    if reply.unfilled:
        left = counted(reply.unfilled, "ticket")
        note(f"{left} from before the ledger may be missing; slad is adding them")
    if as_csv:
        _write_csv([*by.names, *_header()], (_plain(row) for row in reply.rows or [reply.total]))
    else:
        out.one(reply, lambda: report_parts(reply, by, asked, instant))


def report_parts(
    reply: pb.ReportSlaResponse, by: Grouping, asked: dict[str, Any], instant: str
) -> Iterator[Any]:
    """A report on the screen: what it is about, a row for each group and one for all, why clocks stood."""
    zone = asked["timezone"]
    told = f"{asked['tenant_id']}, {instant} from {asked['from_time']:%Y-%m-%d %H:%M} to"
    yield Text(f"{told} {asked['to_time']:%Y-%m-%d %H:%M} {zone}")
    yield Text(f"--as-of {reply.as_of.ToJsonString()}", "dim")
    yield ""
    rows: list[list[Cell]] = [[*groups_of(row.group), *_cells(row)] for row in reply.rows]
    names = [name.upper() for name in by.names]
    if names:
        rows.append([Text("all", "bold"), *[""] * (len(names) - 1), *_cells(reply.total)])
    else:
        rows.append(_cells(reply.total))
    yield table([*names, *_headings()], rows)
    for paused in reply.total.paused_by[:5]:
        yield Text(f"paused for {paused.reason}: {_percent(paused.share)} of open time", "dim")


def _headings() -> list[str]:
    told = ["MET", "MISSED", "OVERDUE", "OPEN", "KEPT", "P90"]
    return [*told, "WITH OVERDUE", "EXCUSED", "NONE", "P50", "LONGEST", "PAUSED"] if wide() else told


def _cells(row: pb.SlaReportRow) -> list[Cell]:
    cells: list[Cell] = [
        str(row.met),
        str(row.missed),
        str(row.open_overdue),
        str(row.open_in_time),
        _kept(row),
        _span(row, "elapsed_p90"),
    ]
    if wide():
        cells += [
            _rate(row, "attainment_with_open"),
            str(row.missed_excused),
            str(row.none),
            _span(row, "elapsed_p50"),
            _span(row, "elapsed_max"),
            _rate(row, "paused_share"),
        ]
    return cells


def _kept(row: pb.SlaReportRow) -> Cell:
    if not has(row, "attainment"):
        return "-"
    full, empty = ("█", "░") if fancy() else ("#", ".")
    filled = int(row.attainment * BAR_CELLS)  # a full bar is a promise: 99.9 % has none
    colour = "green" if row.attainment >= 0.9 else "yellow" if row.attainment >= 0.75 else "red"
    return Text.assemble(
        f"{_rate(row, 'attainment'):>7} ", (full * filled, colour), empty * (BAR_CELLS - filled)
    )


def _rate(row: pb.SlaReportRow, name: str) -> str:
    if not has(row, name):
        return "-"
    return _percent(getattr(row, name))


def _percent(share: float) -> str:
    """Rounded down: 99.96 % is not 100 %."""
    return f"{int(share * 1_000 + 1e-9) / 10:.1f} %"


def _span(row: pb.SlaReportRow, name: str) -> str:
    return time_text.open_span(time_text.ms(getattr(row, name))) if has(row, name) else "-"


def _header() -> list[str]:
    return [*_COUNTS, *_RATES, *(f"{name}_minutes" for name in _SPANS)]


def _plain(row: pb.SlaReportRow) -> list[Any]:
    """A row of CSV: empty where there is nothing to tell of."""
    rates = (getattr(row, name) if has(row, name) else "" for name in _RATES)
    spans = (time_text.ms(getattr(row, name)) / MINUTE_MS if has(row, name) else "" for name in _SPANS)
    return [*row.group, *(getattr(row, name) for name in _COUNTS), *rates, *spans]


def _unfolded(entries: Iterator[pb.SlaLedgerEntry], out: Printer, timezone: str, *, as_csv: bool) -> None:
    if as_csv:
        found = (cells_of(entry) for entry in entries)
        first = next(found, None)
        if first is not None:
            _write_csv(list(first), (row.values() for row in (first, *found)))
        return
    if not out.is_for_people:
        for entry in entries:
            out.next(entry, lambda: (), "")
        return
    header = ["TICKET", "CLOCK", "VERDICT", "DUE", "TOOK", "OF"]
    more = ["POLICY", "PRIORITY", "OWNER", "CLOSED", "PAUSED", "WHY"] if wide() else ["WHY"]
    rows = [_entry_cells(entry, timezone) for entry in entries]
    if rows:
        show(table([*header, *more], rows))
    else:
        note("no promises match")


def _entry_cells(entry: pb.SlaLedgerEntry, timezone: str) -> Sequence[Cell]:
    clock = entry.clock if entry.cycle == 1 else f"{entry.clock} {entry.cycle}"
    excused = ", excused" if entry.excused else ""
    why = f"{entry.reason_code}{excused}".removeprefix(", ")
    cells: list[Cell] = [
        entry.ticket_id,
        clock,
        figure_of(entry).replace("_", " "),
        _stamp(entry, "due_at", timezone),
        time_text.open_span(time_text.ms(entry.elapsed)),
        time_text.open_span(time_text.ms(entry.target)),
    ]
    if not wide():
        return [*cells, why]
    paused = time_text.open_span(time_text.ms(entry.paused))
    told = ", ".join(filter(None, (why, entry.note)))
    return [
        *cells,
        entry.policy_id,
        entry.priority_id,
        entry.owner,
        _stamp(entry, "closed_at", timezone),
        paused,
        told,
    ]


def _stamp(entry: pb.SlaLedgerEntry, name: str, timezone: str) -> str:
    if not has(entry, name):
        return "-"
    at = time_text.local(time_text.ms(getattr(entry, name)), time_text.zone(timezone))
    return f"{at:%Y-%m-%d %H:%M}"


def _write_csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def _about(asked: dict[str, Any], instant: str) -> dict[str, str]:
    """What the file is about."""
    as_of = asked["as_of"] or time_text.wall_clock()
    return {
        "tenant_id": asked["tenant_id"],
        "from": asked["from_time"].isoformat(),
        "to": asked["to_time"].isoformat(),
        "timezone": asked["timezone"],
        "instant": instant,
        "as_of": as_of.isoformat(),
    }
