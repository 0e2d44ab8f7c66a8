"""`slad preview`: when the thresholds of a ticket would fire. Needs no daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import time_text
from slad.cli.clock_text import UNNAMED
from slad.cli.exits import CommandError
from slad.cli.explain import drawing_parts, now_at
from slad.cli.help import example
from slad.cli.option_types import INSTANT, TypedInstant
from slad.cli.output import Printer, note, output_option, table
from slad.cli.reason_text import reason_fields
from slad.cli.terms_options import TypedTerms, terms_options
from slad.cli.ticket_view import lanes, meaning
from slad.core.errors import InvalidField
from slad.core.instants import from_datetime
from slad.core.picture import Mark
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
    type=INSTANT,
    metavar="INSTANT",
    help="When the clocks start, by default now. An instant without a zone is in the zone of --tz.",
)
@click.option(
    "--pause",
    "pauses",
    multiple=True,
    metavar="FROM/TO",
    help="A pause, 2026-03-02T12:00/2026-03-02T15:00; a reason of your own may follow; may repeat.",
)
@click.option(
    "--message",
    "messages",
    multiple=True,
    metavar="FROM@INSTANT",
    help="A message from the customer or an agent, customer@2026-03-02T12:00; may repeat.",
)
@click.option(
    "--assign",
    "owners",
    multiple=True,
    metavar="OWNER@INSTANT",
    help="Who gets the ticket, level-2@2026-03-02T12:00; may repeat.",
)
@click.option("--as-of", type=INSTANT, metavar="INSTANT", help="Show the clocks as they stand at this time.")
@output_option("table", "wide", "json", "yaml")
def preview(
    terms: TypedTerms,
    started_at: TypedInstant | None,
    pauses: tuple[str, ...],
    messages: tuple[str, ...],
    owners: tuple[str, ...],
    as_of: TypedInstant | None,
    out: Printer,
) -> None:
    """Show when the thresholds of a ticket would fire.

    The command computes this itself. It needs no daemon.
    """
    request = terms.fill(rpc.PreviewSlaRequest())
    zone = terms.zone_of(request)
    if started_at:
        request.started_at.FromDatetime(started_at.aware(zone))
    if as_of:
        request.as_of.FromDatetime(as_of.aware(zone))
    for text in pauses:
        request.pauses.append(_pause(text, zone))
    facts = [
        *request.facts,
        *(_fact("--message", text, zone, _SENDERS) for text in messages),
        *(_fact("--assign", text, zone, {}) for text in owners),
    ]
    del request.facts[:]
    request.facts.extend(sorted(facts, key=lambda fact: time_text.ms(fact.at)))
    try:
        requests = RequestReader(Fields())
        ticket = PreviewedTicket(requests.preview(request, from_datetime(time_text.wall_clock())))
    except InvalidField as error:
        raise CommandError(f"{_option_of(terms, request, error.field)}: {error.message}") from None
    reply = ticket.reply()
    entries = [entry for entry in request.schedule.entries if entry.is_enabled]
    if any(parse_window(e.day_of_week, e.start_time, e.end_time).loses_a_minute for e in entries):
        note("a window ends at 23:59, so the last minute of the day does not count; write 24:00")
    out.one(reply, lambda: _parts(ticket, reply))


def _option_of(terms: TypedTerms, request: rpc.PreviewSlaRequest, path: str) -> str:
    known = {"pauses": "--pause", "facts": "--message, --assign", "started_at": "--start", "as_of": "--as-of"}
    return known.get(path.partition("[")[0]) or terms.option_of(request, path)


def _pause(text: str, zone: str) -> pb.SlaPause:
    stretch, _, code = text.strip().partition(" ")
    begin, slash, end = stretch.partition("/")
    pause = pb.SlaPause(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
    if code := code.strip():
        pause.reason, pause.reason_code = reason_fields(code)
    try:
        pause.paused_at.CopyFrom(_stamp(begin, zone))
        if slash and end:
            pause.resumed_at.CopyFrom(_stamp(end, zone))
    except (ValueError, OverflowError):
        raise CommandError(
            f"--pause: {text!r} is not FROM/TO, such as 2026-03-02T12:00/2026-03-02T15:00"
        ) from None
    return pause


def _fact(option: str, text: str, zone: str, senders: Mapping[str, rpc.SlaFactKind.ValueType]) -> rpc.SlaFact:
    """What `--message`, with its `senders`, or `--assign` says."""
    who, _, moment = text.rpartition("@")
    try:
        fact = rpc.SlaFact(at=_stamp(moment, zone))
    except (ValueError, OverflowError):
        raise CommandError(f"{option}: {text!r} has no instant; write WHO@2026-03-02T12:00") from None
    if not senders:
        fact.kind, fact.owner = rpc.SLA_FACT_KIND_ASSIGNED, who
    elif who not in senders:
        raise CommandError(f"{option}: {who!r} is not one of {', '.join(senders)}")
    else:
        fact.kind = senders[who]
    return fact


_SENDERS: Final = {
    "customer": rpc.SLA_FACT_KIND_CUSTOMER_MESSAGE,
    "agent": rpc.SLA_FACT_KIND_AGENT_MESSAGE,
}


def _stamp(text: str, zone: str) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(TypedInstant(time_text.parse_moment(text)).aware(zone))
    return stamp


def _parts(ticket: PreviewedTicket, reply: rpc.PreviewSlaResponse) -> Iterator[Any]:
    zone, now = ticket.calendar.timezone, ticket.reading.now
    status = pb.SlaStatus(state=pb.SLA_TRACKING_STATE_ACTIVE, timezone=zone, clocks=reply.clocks)
    for name in UNNAMED:
        if reply.HasField(name):
            getattr(status, name).CopyFrom(getattr(reply, name))
    status.as_of.FromMilliseconds(now)
    found = list(lanes(status))
    yield Text.assemble(("start  ", "bold"), time_text.instant(ticket.started_at, zone))
    rows = [
        (
            lane.name,
            meaning(threshold),
            time_text.open_span(time_text.ms(lane.clock.target) * threshold.percent // 100),
            time_text.instant(time_text.ms(threshold.scheduled_at), zone),
        )
        for lane in found
        for threshold in lane.clock.thresholds
        if threshold.HasField("scheduled_at")
    ]
    yield table(("CLOCK", "AT", "OPEN TIME", "WHEN"), rows)
    for lane in found:
        if not lane.clock.HasField("target"):
            yield Text(f"{lane.name}: no cycle has opened")
    yield ""
    until = max([now, *(time_text.ms(lane.clock.due_at) for lane in found if lane.clock.HasField("due_at"))])
    by_lane = {lane.name: ticket.timeline(until, lane.name) for lane in found if lane.cycle is not None}
    whole = ticket.timeline(until)
    marks = {lane.name: list(marks_of(ticket, lane.name)) for lane in found}
    nows = [now_at(now)] if now > ticket.started_at else []
    yield from drawing_parts(whole, by_lane, marks, nows, now, zone)


def marks_of(ticket: PreviewedTicket, clock: str) -> Iterator[Mark]:
    """The thresholds of all cycles of a clock, and their ends."""
    for cycle in ticket.reading.cycles(clock):
        for spec, instant in cycle.marks:
            has_happened = cycle.has_happened(instant)
            if instant is not None and (has_happened or cycle.running):
                sign = "breach" if spec.breach else "fired"
                if not has_happened:
                    sign = "breach-ahead" if spec.breach else "ahead"
                yield Mark(instant, meaning(spec), sign)
        if cycle.closed_at is not None:
            verdict = {True: "met", False: "missed", None: "closed"}[cycle.met]
            yield Mark(cycle.closed_at, verdict, "done")
