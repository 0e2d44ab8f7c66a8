"""`slad status` and `slad list`: how tickets stand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import click
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from slad.cli import times
from slad.cli.connection import Daemon, daemon_options
from slad.cli.output import Cell, as_dict, json_option, note, print_json, show, table, wide
from slad.cli.ticket import (
    Ticket,
    clocks,
    due,
    left,
    next_of_all,
    status_parts,
    ticket_argument,
    word,
)
from slad.cli.values import Moment, Span, Typed, Words
from slad.core.instants import DAY_MS, from_datetime, to_datetime

_FAR_AWAY: Final = 10_000_000 * DAY_MS


@click.command()
@ticket_argument
@click.option("--generation", type=click.IntRange(min=1), help="Not the latest one.")
@json_option
@daemon_options
def status(daemon: Daemon, ticket: Ticket, generation: int | None, as_json: bool) -> None:
    """Show how a ticket stands.

    TENANT may be left out when only one tenant has such a ticket. Times are in your zone (TZ), and in that of
    the schedule where its clocks differ. What is LEFT is open time.
    """
    with daemon.client() as client:
        reply = client.get_sla_status(**ticket._asdict(), generation=generation)
    if as_json:
        print_json(reply.status)
    else:
        show(*status_parts(reply.status))


@click.command("list")
@click.option("--tenant", "tenant_id", default="", metavar="TENANT", help="Only of this tenant.")
@click.option(
    "--state",
    "states",
    type=Words(pb.SlaTrackingState.DESCRIPTOR, "SLA_TRACKING_STATE_", everything="all"),
    default="active",
    show_default=True,
    help="Several are separated by commas.",
)
@click.option(
    "--status",
    "statuses",
    type=Words(pb.SlaTimerStatus.DESCRIPTOR, "SLA_TIMER_STATUS_"),
    default=(),
    help="Several are separated by commas.",
)
@click.option("--due-before", type=Moment(), metavar="INSTANT", help="An open clock is due before that.")
@click.option("--due-within", type=Span(), metavar="SPAN", help="An open clock is due within 2h, 30m, …")
@click.option(
    "--sort",
    type=click.Choice(["created", "due"]),
    default="created",
    show_default=True,
    help="due: what is due first; reads all that fit before it prints.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="At most so many; 0: all.",
)
@json_option
@daemon_options
def list_command(
    daemon: Daemon,
    tenant_id: str,
    states: tuple[int, ...],
    statuses: tuple[int, ...],
    due_before: Typed | None,
    due_within: int | None,
    sort: str,
    limit: int,
    as_json: bool,
) -> None:
    """List tickets, in the order in which they were started.

    With --json one object a line.
    """
    if due_before and due_within is not None:
        raise click.UsageError("--due-before and --due-within say the same; give one")
    before = due_before.aware() if due_before else None
    with daemon.client() as client:
        if due_within is not None:
            before = to_datetime(_now(client) + due_within)
        found: Iterator[pb.SlaStatus] = client.list_sla_trackings(
            tenant_id=tenant_id,
            states=[pb.SlaTrackingState.ValueType(number) for number in states],
            statuses=[pb.SlaTimerStatus.ValueType(number) for number in statuses],
            due_before=before,
            page_size=min(limit + 1, 1_000) if limit and sort == "created" else 1_000,
        )
        if sort == "due":
            found = iter(sorted(found, key=_due_first))
        shown = islice(found, limit or None)
        if as_json:
            for status in shown:
                print_json(as_dict(status), one_line=True)
        elif rows := list(shown):
            _show_list(rows)
        else:
            note("no ticket is like that")
        if next(found, None) is not None:
            note(f"there are more than {limit}; --limit 0 shows all")


def _now(client: SladClient) -> int:
    """The daemon's own time, which may be virtual, if it has a ticket to tell it by; UTC epoch ms."""
    first = next(iter(client.list_sla_trackings(page_size=1)), None)
    return from_datetime(times.wall_clock()) if first is None else times.ms(first.as_of)


def _show_list(found: list[pb.SlaStatus]) -> None:
    due = ["DUE"] if wide() else []
    header = ["TENANT", "TICKET", "STATUS", "RESPONSE", *due, "RESOLUTION", *due, "NEXT"]
    show(table(header, map(_row, found)))


def _row(status: pb.SlaStatus) -> list[Cell]:
    cells: list[Cell] = [status.tenant_id, status.ticket_id, word(status)]
    by_name = dict(clocks(status))
    for name in ("response", "resolution"):
        clock = by_name.get(name)
        cells.append("" if clock is None else left(clock))
        if wide():
            cells.append("" if clock is None else _short_due(clock, status))
    return [*cells, next_of_all(status)]


def _short_due(clock: pb.SlaClock, status: pb.SlaStatus) -> Cell:
    if clock.HasField("completed_at"):
        return ""
    told = due(clock, status)
    return told if not isinstance(told, str) else told.partition(",")[0]


def _due_first(status: pb.SlaStatus) -> int:
    dues = [
        times.ms(clock.due_at)
        for _, clock in clocks(status)
        if clock.HasField("due_at") and not clock.HasField("completed_at")
    ]
    return min(dues, default=_FAR_AWAY)
