"""`slad preview`: what the clocks of a ticket would say. Needs no daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import times
from slad.cli.drawing import Mark, Stretch
from slad.cli.explain import drawing_parts, marks_of
from slad.cli.failures import WrongInput
from slad.cli.output import json_option, print_json, show, table
from slad.cli.terms import Terms, terms_options
from slad.cli.ticket import clocks, meaning
from slad.cli.values import Moment, Typed, parse_moment
from slad.core.errors import InvalidField
from slad.core.instants import from_datetime
from slad.service.fields import Fields
from slad.service.preview import PreviewedTicket
from slad.service.requests import RequestReader


@click.command()
@terms_options
@click.option(
    "--start",
    "started_at",
    type=Moment(),
    metavar="INSTANT",
    help="When the clocks begin; now. Without a zone it is read in that of --tz.",
)
@click.option(
    "--pause",
    "pauses",
    multiple=True,
    metavar="FROM/TO",
    help="A pause, 2026-03-02T12:00/2026-03-02T15:00; may repeat.",
)
@click.option("--as-of", type=Moment(), metavar="INSTANT", help="Read the clocks at that instant.")
@json_option
def preview(
    terms: Terms, started_at: Typed | None, pauses: tuple[str, ...], as_of: Typed | None, as_json: bool
) -> None:
    """Show what the clocks of a ticket would say, computed here: no daemon is asked, and none needed.

    slad preview --hours "Mon-Fri 09:00-17:00" --tz Europe/Berlin --target 8h --start 2026-03-06T15:00
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
        ticket = PreviewedTicket(requests.preview(request, from_datetime(times.wall_clock())))
    except InvalidField as error:
        raise WrongInput(f"{error.field}: {error.message}") from None
    reply = ticket.reply()
    if as_json:
        print_json(reply)
    else:
        show(*_parts(ticket, reply))


def _pause(text: str, zone: str) -> pb.SlaPause:
    begin, slash, end = text.partition("/")
    pause = pb.SlaPause(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
    try:
        pause.paused_at.FromDatetime(Typed(parse_moment(begin)).aware(zone))
        if slash and end:
            pause.resumed_at.FromDatetime(Typed(parse_moment(end)).aware(zone))
    except (ValueError, OverflowError):
        raise WrongInput(
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
    yield Text.assemble(("start  ", "bold"), times.instant(ticket.started_at, zone))
    rows = [
        (
            name,
            meaning(threshold),
            times.open_span(times.ms(clock.target) * threshold.percent // 100),
            times.instant(times.ms(threshold.scheduled_at), zone),
        )
        for name, clock in clocks(status)
        for threshold in clock.thresholds
        if threshold.HasField("scheduled_at")
    ]
    yield table(("CLOCK", "AT", "OPEN TIME", "WHEN"), rows)
    yield ""
    dues = [times.ms(clock.due_at) for _, clock in clocks(status)]
    stretches = [Stretch(*segment) for segment in ticket.timeline(max([now, *dues]))]
    marks: list[Mark] = [mark for mark in marks_of(status) if mark.sign != "now" or now > ticket.started_at]
    yield from drawing_parts(stretches, marks, now, zone)
