"""`slad preview`: when the thresholds of a ticket would fire. Needs no daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.drawing import Mark, Stretch
from slad.cli.exits import CommandError
from slad.cli.explain import drawing_parts, marks_of
from slad.cli.help import example
from slad.cli.option_types import Moment, TypedInstant
from slad.cli.output import Printer, note, output_option, table
from slad.cli.terms_options import TypedTerms, terms_options
from slad.cli.ticket_view import clocks, meaning
from slad.core.errors import InvalidField
from slad.core.instants import from_datetime
from slad.core.schedule import parse_window
from slad.service.fields import Fields
from slad.service.preview import PreviewedTicket
from slad.service.requests import RequestReader


@click.command(
    epilog=example(
        'slad preview --hours "Mon-Fri 09:00-17:00" --tz Europe/Berlin --target 8h --start 2026-03-06T15:00'
    )
)
@terms_options
@click.option(
    "--start",
    "started_at",
    type=Moment(),
    metavar="INSTANT",
    help="When the clocks start, by default now. An instant without a zone is in the zone of --tz.",
)
@click.option(
    "--pause",
    "pauses",
    multiple=True,
    metavar="FROM/TO",
    help="A pause, 2026-03-02T12:00/2026-03-02T15:00; may repeat.",
)
@click.option("--as-of", type=Moment(), metavar="INSTANT", help="Show the clocks as they stand at this time.")
@output_option("table", "wide", "json", "yaml")
def preview(
    terms: TypedTerms,
    started_at: TypedInstant | None,
    pauses: tuple[str, ...],
    as_of: TypedInstant | None,
    out: Printer,
) -> None:
    """Show when the thresholds of a ticket would fire.

    The command computes this itself. It needs no daemon.
    """
    request = terms.fill(rpc.PreviewSlaRequest())
    zone = request.schedule.timezone
    if started_at:
        request.started_at.FromDatetime(started_at.aware(zone))
    if as_of:
        request.as_of.FromDatetime(as_of.aware(zone))
    for text in pauses:
        request.pauses.append(_pause(text, zone))
    try:
        requests = RequestReader(Fields())
        ticket = PreviewedTicket(requests.preview(request, from_datetime(time_text.wall_clock())))
    except InvalidField as error:
        raise CommandError(f"{error.field}: {error.message}") from None
    reply = ticket.reply()
    entries = [entry for entry in request.schedule.entries if entry.is_enabled]
    if any(parse_window(e.day_of_week, e.start_time, e.end_time).loses_a_minute for e in entries):
        note("a window ends at 23:59, so the last minute of the day does not count; write 24:00")
    out.one(reply, lambda: _parts(ticket, reply))


def _pause(text: str, zone: str) -> pb.SlaPause:
    begin, slash, end = text.partition("/")
    pause = pb.SlaPause(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
    try:
        pause.paused_at.FromDatetime(TypedInstant(time_text.parse_moment(begin)).aware(zone))
        if slash and end:
            pause.resumed_at.FromDatetime(TypedInstant(time_text.parse_moment(end)).aware(zone))
    except (ValueError, OverflowError):
        raise CommandError(
            f"--pause: {text!r} is not FROM/TO, such as 2026-03-02T12:00/2026-03-02T15:00"
        ) from None
    return pause


def _parts(ticket: PreviewedTicket, reply: rpc.PreviewSlaResponse) -> Iterator[Any]:
    zone, now = ticket.calendar.timezone, ticket.reading.now
    status = pb.SlaStatus(state=pb.SLA_TRACKING_STATE_ACTIVE, timezone=zone)
    for name in ("response", "resolution"):
        if reply.HasField(name):
            getattr(status, name).CopyFrom(getattr(reply, name))
    status.as_of.FromMilliseconds(now)
    yield Text.assemble(("start  ", "bold"), time_text.instant(ticket.started_at, zone))
    rows = [
        (
            name,
            meaning(threshold),
            time_text.open_span(time_text.ms(clock.target) * threshold.percent // 100),
            time_text.instant(time_text.ms(threshold.scheduled_at), zone),
        )
        for name, clock in clocks(status)
        for threshold in clock.thresholds
        if threshold.HasField("scheduled_at")
    ]
    yield table(("CLOCK", "AT", "OPEN TIME", "WHEN"), rows)
    yield ""
    dues = [time_text.ms(clock.due_at) for _, clock in clocks(status)]
    stretches = [Stretch(*segment) for segment in ticket.timeline(max([now, *dues]))]
    marks: list[Mark] = [mark for mark in marks_of(status) if mark.sign != "now" or now > ticket.started_at]
    yield from drawing_parts(stretches, marks, now, zone)
