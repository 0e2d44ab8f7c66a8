"""`slad forecast`: what is overdue, and what will be if nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import click
from rich.text import Text
from slad_client.v1 import attainment_pb2 as pb

from slad.cli import time_text
from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.help import example
from slad.cli.option_types import INSTANT, TypedInstant
from slad.cli.output import Cell, Printer, note, output_option, table, wide
from slad.cli.report_options import Grouping, grouping_options, groups_of


@click.command(
    epilog=example("slad forecast acme --until +8h", "slad forecast acme --until 17:00 --by owner")
)
@click.argument("tenant_id", metavar="TENANT")
@click.option(
    "--until", type=INSTANT, metavar="INSTANT", help="Up to this instant. By default 24 hours from now."
)
@grouping_options
@output_option("table", "wide", "json", "yaml")
@daemon_options
def forecast(
    daemon: Daemon, tenant_id: str, until: TypedInstant | None, by: Grouping, timezone: str, out: Printer
) -> None:
    """Show which promises are overdue, and which will be if nothing changes.

    The promises follow below the numbers, the most overdue first, then by their deadline. A paused clock
    stands still, so it is not among those that will be overdue.
    """
    end = until.aware(timezone) if until else time_text.wall_clock() + timedelta(days=1)
    with daemon.client() as client:
        reply = client.forecast_sla(
            tenant_id=tenant_id, until=end, timezone=timezone, group_by=by.keys, attributes=by.attributes
        )
    out.one(reply, lambda: _parts(reply, by))
    if reply.truncated:
        note(f"only {len(reply.cycles)} promises are listed; there are more")


def _parts(reply: pb.ForecastSlaResponse, by: Grouping) -> Iterator[Any]:
    rows = [[*groups_of(row.group), *_numbers(row)] for row in reply.rows]
    names = [name.upper() for name in by.names]
    rows.append([*(["all", *[""] * (len(names) - 1)] if names else []), *_numbers(reply.total)])
    yield table([*names, "OVERDUE", "WILL MISS", "IN TIME", "PAUSED", "MOST OVERDUE"], rows)
    if reply.cycles:
        yield ""
        header = ["TICKET", "CLOCK", "DUE", "OVERDUE BY"]
        now = time_text.ms(reply.as_of)
        more = ["POLICY", "PRIORITY", "OWNER"] if wide() else []
        yield table([*header, *more], (_cells(cycle, now) for cycle in reply.cycles))


def _numbers(row: pb.SlaForecastRow) -> list[str]:
    most = time_text.open_span(time_text.ms(row.overdue_max)) if row.HasField("overdue_max") else "-"
    return [str(row.overdue), str(row.will_miss), str(row.in_time), str(row.paused), most]


def _cells(cycle: pb.SlaForecastCycle, now: int) -> list[Cell]:
    due = time_text.ms(cycle.due_at)
    overdue = time_text.open_span(time_text.ms(cycle.overdue_by)) if cycle.HasField("overdue_by") else "-"
    clock = cycle.clock if cycle.cycle == 1 else f"{cycle.clock} {cycle.cycle}"
    told = f"{time_text.local(due):%Y-%m-%d %H:%M}, {time_text.relative(due, now)}"
    cells: list[Cell] = [cycle.ticket_id, clock, told, Text(overdue, "red" if overdue != "-" else "")]
    return [*cells, cycle.policy_id, cycle.priority_id, cycle.owner] if wide() else cells
