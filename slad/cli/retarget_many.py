"""`slad retarget-many`: an edited calendar or policy, for all tickets that count by it (M9)."""

from __future__ import annotations

import csv
import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from click.exceptions import Exit
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc

from slad.cli import time_text
from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.exits import EXIT_CANNOT_START, EXIT_UNSOUND, CommandError
from slad.cli.help import example
from slad.cli.output import Cell, Printer, console, counted, note, output_option, table
from slad.cli.request_file import read_text
from slad.cli.terms_options import TypedTerms, terms_options
from slad.cli.ticket_commands import option_of, suppress_past_option

MAX_SHOWN: Final = 20
"""How many differences, and how many refusals, the tables show; --csv and -o json have all."""

HEADER: Final = ("ticket_id", "clock", "cycle", "due_before", "due_after", "fired", "retracted", "refused")

_CHANGES: Final = {"schedule", "targets", "notification_thresholds", "clocks", "policy_id"}
"""The fields that say what changes."""

_OPTIONS: Final = {
    "which": "--schedule-id, --of-policy, --ticket, --tickets",
    "which.schedule_id": "--schedule-id",
    "which.policy_id": "--of-policy",
    "which.ticket_ids": "--ticket, --tickets",
}


@click.command(
    "retarget-many",
    epilog=example(
        "slad retarget-many acme --schedule-id office --file office.yaml --dry-run",
        "slad retarget-many acme --schedule-id office --file office.yaml",
        "slad retarget-many acme --of-policy gold --response 30m --resolution 4h --csv moved.csv",
    ),
)
@click.argument("tenant_id", metavar="TENANT")
@click.option(
    "--schedule-id",
    default="",
    metavar="ID",
    help="Tickets with a clock that counts by the schedule with this id. The new schedule replaces it.",
)
@click.option("--of-policy", default="", metavar="ID", help="The tickets of this policy.")
@click.option("--ticket", "ticket_ids", multiple=True, metavar="TICKET", help="This ticket; may repeat.")
@click.option(
    "--tickets",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="The tickets in FILE, one id a line; - reads standard input.",
)
@terms_options
@suppress_past_option
@click.option("--dry-run", is_flag=True, help="Change nothing; show how the tickets would change.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write all differences to FILE, as CSV.",
)
@click.option("--request-id", default="", metavar="ID", help="Names this call, so that it can be sent again.")
@output_option("table", "wide", "json", "yaml")
@daemon_options
def retarget_many(
    daemon: Daemon,
    tenant_id: str,
    schedule_id: str,
    of_policy: str,
    ticket_ids: tuple[str, ...],
    tickets: Path | None,
    terms: TypedTerms,
    suppress_past: bool,
    dry_run: bool,
    csv_file: Path | None,
    request_id: str,
    out: Printer,
) -> None:
    """Change terms of many live tickets of a tenant: an edited calendar, or an edited policy.

    What you do not give stays as each ticket has it. Each ticket is changed on its own, beside other work. If
    the command is cut off, give it again: it finishes, and changes nothing twice. -o json prints what changes
    as it goes, one object a line. Exit code 5 if tickets could not take the new terms.
    """
    request = terms.fill(rpc.RetargetSlaTrackingsRequest())
    _select(request, schedule_id, of_policy, [*ticket_ids, *(_ids(tickets) if tickets else ())])
    if not _CHANGES & {field.name for field, _ in request.ListFields()}:
        raise CommandError(
            "nothing would change: give --hours, --24x7, --response, --resolution, --notify, --clock, "
            "--policy, or --file"
        )
    request.tenant_id = tenant_id
    request.suppress_past |= suppress_past
    request.dry_run |= dry_run
    request.request_id = request_id or request.request_id

    def of_any(path: str) -> str:
        known = _OPTIONS.get(path.partition("[")[0])
        found = terms.option_of(request, path)
        return known or (option_of(path) if found == path else found)

    result = _Result()
    with _written(csv_file) as write, daemon.channel(option_of=of_any) as channel:
        stream = sla_backend_pb2_grpc.SlaBackendStub(channel).RetargetSlaTrackings(request)
        with _progress("comparing" if request.dry_run else "retargeting") as show:
            for reply in stream:
                show(reply)
                result.add(reply)
                for row in _rows(reply):
                    write(row)
                if not out.is_for_people:
                    out.next(reply, lambda: (), "")
    if out.is_for_people:
        out.one(None, lambda: result.parts(dry_run=request.dry_run))
    if result.refused_count:
        raise Exit(EXIT_UNSOUND)


def _select(
    request: rpc.RetargetSlaTrackingsRequest, schedule_id: str, of_policy: str, ticket_ids: list[str]
) -> None:
    if sum(map(bool, (schedule_id, of_policy, ticket_ids))) > 1:
        raise CommandError("--schedule-id, --of-policy and --ticket contradict each other; give one")
    if schedule_id or of_policy or ticket_ids:
        which = rpc.SlaTrackingSelection(schedule_id=schedule_id, policy_id=of_policy, ticket_ids=ticket_ids)
        request.which.CopyFrom(which)
    if not any(getattr(request.which, field.name) for field in request.which.DESCRIPTOR.fields):
        raise CommandError("which tickets? give --schedule-id, --of-policy, --ticket or --tickets")
    if request.HasField("schedule") and not request.schedule.schedule_id:
        # It goes on to be known by this id, for the next edit.
        request.schedule.schedule_id = request.which.schedule_id


def _ids(file: Path) -> Iterator[str]:
    return filter(None, map(str.strip, read_text(file).splitlines()))


class _Result:
    """What a call told, in bounded space."""

    def __init__(self) -> None:
        self.done = self.changed = self.refused_count = 0
        self._last_changed = ""
        self._moved: list[tuple[int, int, rpc.SlaTermsDifference]] = []
        """A heap of those that move most."""
        self._refused: list[rpc.RefusedSlaRetarget] = []
        self._differences = 0

    def add(self, reply: rpc.RetargetSlaTrackingsResponse) -> None:
        """One message."""
        self.done = reply.done
        self.refused_count += len(reply.refused)
        self._refused += reply.refused[: MAX_SHOWN - len(self._refused)]
        for difference in reply.differences:
            self._differences += 1
            self.changed += difference.ticket_id != self._last_changed
            self._last_changed = difference.ticket_id
            # The number decides between equals, as messages have no order; the first stay.
            heapq.heappush(self._moved, (abs(_moved(difference) or 0), -self._differences, difference))
            if len(self._moved) > MAX_SHOWN:
                heapq.heappop(self._moved)

    def parts(self, *, dry_run: bool) -> Iterator[Any]:
        """What people see."""
        of_them = f"{counted(self.done, 'ticket')} selected"
        would = "would change" if dry_run else "changed"
        yield f"{of_them}: {self.changed} {would}, {self.refused_count} refused"
        if self._moved:
            rows = [_cells(difference) for _, _, difference in sorted(self._moved, reverse=True)]
            yield table(("TICKET", "CLOCK", "CYCLE", "DUE", "THEN", "MOVES", "FIRES", "TAKEN BACK"), rows)
        if self._differences > MAX_SHOWN:
            note(f"these {MAX_SHOWN} of {self._differences} move most; --csv FILE has all")
        if self._refused:
            yield table(("TICKET", "WHY"), [[r.ticket_id, r.message] for r in self._refused])
        if self.refused_count > MAX_SHOWN:
            note(f"{self.refused_count - MAX_SHOWN} more were refused; --csv FILE has all")


def _moved(difference: rpc.SlaTermsDifference) -> int | None:
    """By how many ms the deadline moves; None: there is no such clock before, or after."""
    if difference.HasField("due_before") and difference.HasField("due_after"):
        return time_text.ms(difference.due_after) - time_text.ms(difference.due_before)
    return None


def _cells(difference: rpc.SlaTermsDifference) -> list[Cell]:
    moved = _moved(difference)
    if moved is None:
        moves = "new clock" if difference.HasField("due_after") else "no such clock any more"
    elif not moved:
        moves = ""
    else:
        moves = f"{time_text.span(abs(moved))} {'later' if moved > 0 else 'earlier'}"
    return [
        difference.ticket_id,
        difference.clock,
        str(difference.cycle),
        time_text.stamp(difference, "due_before"),
        time_text.stamp(difference, "due_after"),
        moves,
        _percents(difference.fired),
        _percents(difference.retracted),
    ]


def _percents(percents: Any) -> str:
    return ", ".join(f"{percent} %" for percent in percents)


def _rows(reply: rpc.RetargetSlaTrackingsResponse) -> Iterator[list[str]]:
    """Rows under HEADER."""
    for d in reply.differences:
        dues = [
            getattr(d, field).ToJsonString() if d.HasField(field) else ""
            for field in ("due_before", "due_after")
        ]
        percents = [" ".join(map(str, found)) for found in (d.fired, d.retracted)]
        yield [d.ticket_id, d.clock, str(d.cycle), *dues, *percents, ""]
    for refused in reply.refused:
        yield [refused.ticket_id, *[""] * 6, f"{refused.reason}: {refused.message}"]


@contextmanager
def _written(file: Path | None) -> Iterator[Callable[[list[str]], Any]]:
    """Writes rows to a CSV file, if there is one."""
    if file is None:
        yield lambda row: None
        return
    try:
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(HEADER)
            yield writer.writerow
    except OSError as error:
        raise CommandError(f"--csv: {file} cannot be written: {error.strerror}", EXIT_CANNOT_START) from error


@contextmanager
def _progress(what: str) -> Iterator[Callable[[rpc.RetargetSlaTrackingsResponse], Any]]:
    """A progress bar on standard error, if that is a terminal."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda reply: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda reply: progress.update(task, completed=reply.done, total=reply.total)
