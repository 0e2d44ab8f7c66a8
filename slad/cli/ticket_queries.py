"""`slad status` and `slad list`: how tickets stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Final

import click
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.exits import CommandError
from slad.cli.help import example
from slad.cli.option_types import INSTANT, SPAN, EnumWords, TypedInstant
from slad.cli.output import Cell, Columns, Printer, note, output_option, wide
from slad.cli.ticket_argument import TypedTicket, generation_option, ticket_argument
from slad.cli.ticket_view import (
    Lane,
    dues,
    lanes,
    left,
    next_of_all,
    short_due,
    status_parts,
    ticket_id,
    word,
)
from slad.core.instants import DAY_MS, from_datetime, to_datetime

_FAR_AWAY: Final = 10_000_000 * DAY_MS


@click.command(epilog=example("slad status T-1", "slad status acme T-1 -o yaml"))
@ticket_argument
@generation_option
@output_option()
@daemon_options
def status(daemon: Daemon, ticket: TypedTicket, generation: int | None, out: Printer) -> None:
    """Show the clocks of a ticket: what has elapsed, what is left, when they are due.

    You may leave out TENANT if only one tenant has the ticket. Times are in your zone (TZ). If the zone of
    the schedule differs, its time follows in brackets. LEFT is open time: time within business hours.
    """
    with daemon.client() as client:
        found = client.get_sla_status(**ticket._asdict(), generation=generation).status
    out.one(found, lambda: status_parts(found), ticket_id(found))


@click.command(
    "list",
    epilog=example("slad list --sort due --limit 20", "slad list --status at-risk,response-breached -o id"),
)
@click.option("--tenant", "tenant_id", default="", metavar="TENANT", help="Only tickets of this tenant.")
@click.option(
    "--state",
    "states",
    type=EnumWords(pb.SlaTrackingState.DESCRIPTOR, "SLA_TRACKING_STATE_", everything="all"),
    default="active",
    show_default=True,
    help="Only tickets in these states; separate several by commas.",
)
@click.option(
    "--status",
    "statuses",
    type=EnumWords(pb.SlaTimerStatus.DESCRIPTOR, "SLA_TIMER_STATUS_"),
    default=(),
    help="Only tickets with these statuses; separate several by commas.",
)
@click.option(
    "--due-before", type=INSTANT, metavar="INSTANT", help="Only tickets with a clock due before this time."
)
@click.option(
    "--due-within", type=SPAN, metavar="SPAN", help="Only tickets with a clock due within 2h, 30m, …"
)
@click.option(
    "--sort",
    type=click.Choice(["created", "due"]),
    default="created",
    show_default=True,
    help="due puts the ticket that is due first on top. It reads all matching tickets before it prints.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Show at most this many tickets; 0 shows all.",
)
@output_option()
@daemon_options
def list_command(
    daemon: Daemon,
    tenant_id: str,
    states: tuple[int, ...],
    statuses: tuple[int, ...],
    due_before: TypedInstant | None,
    due_within: int | None,
    sort: str,
    limit: int,
    out: Printer,
) -> None:
    """List tickets, in the order in which they were started.

    -o json prints one object a line.
    """
    if due_before and due_within is not None:
        raise CommandError("--due-before and --due-within contradict each other; give one")
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
        if not out.is_for_people:
            for status in shown:
                out.next(status, lambda: (), ticket_id(status))
        elif rows := list(shown):
            out.many(rows, _columns(by_due=sort == "due"), ticket_id)
        else:
            note("no tickets match")
        if next(found, None) is not None:
            note(f"more than {limit} tickets match; --limit 0 shows all")


def _now(client: SladClient) -> int:
    """The daemon's own time, which may be virtual, if it has a ticket to tell it by; UTC epoch ms."""
    first = next(iter(client.list_sla_trackings(page_size=1)), None)
    return from_datetime(time_text.wall_clock()) if first is None else time_text.ms(first.as_of)


def _columns(*, by_due: bool) -> Columns:
    """The columns that the screen has room for. In the order of DUE that one is always among them."""
    made: Columns = [("TENANT", lambda s: s.tenant_id), ("TICKET", lambda s: s.ticket_id), ("STATUS", word)]
    if by_due and not wide():
        made.append(("DUE", _first_due))
    for name in ("response", "resolution"):
        made.append((name.upper(), partial(_of_clock, name, lambda lane, _: left(lane))))
        if wide():
            made.append(("DUE", partial(_of_clock, name, short_due)))
    if wide() or not by_due:
        made.append(("NEXT", next_of_all))
    return made


def _of_clock(name: str, tell: Callable[[Lane, pb.SlaStatus], Cell], status: pb.SlaStatus) -> Cell:
    return next((tell(lane, status) for lane in lanes(status) if lane.name == name), "")


def _first_due(status: pb.SlaStatus) -> Cell:
    _, lane = min(dues(status), key=lambda item: item[0], default=(0, None))
    return "" if lane is None else short_due(lane, status)


def _due_first(status: pb.SlaStatus) -> int:
    return min((due_at for due_at, _ in dues(status)), default=_FAR_AWAY)
