"""`slad explain`: why a ticket stands as it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

import click
from rich.table import Table
from rich.text import Text
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import drawing, time_text
from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.drawing import ASCII, BLOCKS, DrawnLane
from slad.cli.event_view import event_table
from slad.cli.help import example
from slad.cli.output import Cell, Printer, console, fancy, output_option, table
from slad.cli.ticket_argument import TypedTicket, generation_option, ticket_argument
from slad.cli.ticket_view import Lane, dues, lanes, meaning, status_parts, ticket_id
from slad.core.instants import to_datetime
from slad.core.picture import Mark, sums
from slad.core.timeline import NO_CYCLE, TimelineKind, TimelineSegment


@click.command(epilog=example("slad explain T-1", "slad explain acme T-1 --audit"))
@ticket_argument
@generation_option
@click.option("--clock", default="", metavar="NAME", help="Draw only this clock.")
@click.option("--audit", is_flag=True, help="Also list the commands, each with the token of its caller.")
@output_option()
@daemon_options
def explain(
    daemon: Daemon, ticket: TypedTicket, generation: int | None, clock: str, audit: bool, out: Printer
) -> None:
    """Draw the life of a ticket: which time counted, which did not and why, and each threshold.

    Each row is one day in the zone of the schedule, or several days if the ticket is old. If the ticket has
    named clocks, each clock has a lane, which is empty where no cycle is open. The future is drawn up to the
    deadline, on the assumption that nothing changes.
    """
    with daemon.client() as client:
        known = client.get_sla_status(**ticket._asdict(), generation=generation).status
        until = horizon(known)

        def ask(clock: str) -> rpc.GetSlaTimelineResponse:
            return client.get_sla_timeline(
                tenant_id=known.tenant_id,
                ticket_id=known.ticket_id,
                generation=known.generation,
                until=None if until is None else to_datetime(until),
                include_audit=audit,
                clock=clock,
            )

        reply = ask(clock)
        segments = {clock: reply.segments} if clock else {}
        if out.is_for_people and not clock:
            segments = {lane.name: ask(lane.name).segments for lane in lanes(known) if lane.cycle is not None}
    out.one(reply, lambda: timeline_parts(reply, segments), ticket_id(reply.status))


def horizon(status: pb.SlaStatus) -> int | None:
    """How far ahead is worth drawing: to the last deadline of a clock that runs, UTC epoch ms."""
    if status.state != pb.SLA_TRACKING_STATE_ACTIVE:
        return None
    return max((due_at for due_at, lane in dues(status) if not lane.is_paused), default=None)


def timeline_parts(
    reply: rpc.GetSlaTimelineResponse, by_clock: Mapping[str, Iterable[pb.SlaTimelineSegment]] | None = None
) -> Iterator[Any]:
    """A life on the screen: how it stands, the drawing, the sums, the events.

    With the segments of its clocks each has a lane.
    """
    status = reply.status
    yield from status_parts(status)
    yield ""
    marks = {lane.name: [*past_marks(reply.events, lane), *marks_of(status, lane)] for lane in lanes(status)}
    nows = [now_at(time_text.ms(status.as_of))] if status.state == pb.SLA_TRACKING_STATE_ACTIVE else []
    whole = _stretches(reply.segments)
    by_lane = {name: _stretches(segments) for name, segments in (by_clock or {}).items()}
    yield from drawing_parts(whole, by_lane, marks, nows, time_text.ms(status.as_of), status.timezone)
    if reply.events:
        yield ""
        yield event_table(reply.events, status.timezone)
    if reply.audit:
        yield ""
        yield _audit_table(reply.audit, status.timezone)


def _audit_table(entries: Iterable[pb.SlaAuditEntry], timezone: str) -> Table:
    """Commands one below the other."""
    rows: list[list[Cell]] = []
    for entry in entries:
        recorded_at = time_text.instant(time_text.ms(entry.recorded_at), timezone)
        effective_at = (
            time_text.instant(time_text.ms(entry.effective_at), timezone)
            if entry.HasField("effective_at")
            else ""
        )
        told = [entry.note, "" if entry.changed else "nothing changed"]
        rows.append(
            [
                recorded_at,
                entry.command,
                effective_at,
                entry.request_id,
                entry.token_id,
                "; ".join(filter(None, told)),
            ]
        )
    return table(["WHEN", "COMMAND", "AS OF", "REQUEST", "TOKEN", ""], rows)


def _stretches(segments: Iterable[pb.SlaTimelineSegment]) -> list[TimelineSegment]:
    return [
        TimelineSegment(time_text.ms(s.from_time), time_text.ms(s.to_time), TimelineKind(s.kind), s.cause)
        for s in segments
    ]


def drawing_parts(
    whole: Sequence[TimelineSegment],
    by_lane: Mapping[str, Sequence[TimelineSegment]],
    marks: Mapping[str, Sequence[Mark]],
    nows: Sequence[Mark],
    now: int,
    timezone: str,
) -> Iterator[Any]:
    """The drawing with its legend and, where it is of one lane, its sums.

    It has the lanes of `by_lane`, with the marks of each; without them one for the `whole` ticket.
    """
    zone: tzinfo = time_text.zone(timezone) or UTC
    glyphs = BLOCKS if fancy() else ASCII
    drawn = [
        DrawnLane(name, list(_of_lane(stretches, marks[name], now)), [*marks[name], *nows])
        for name, stretches in by_lane.items()
    ]
    if not drawn:
        named = [mark._replace(label=f"{name} {mark.label}") for name in marks for mark in marks[name]]
        drawn = [DrawnLane("", whole, [*named, *nows])]
    yield from drawing.draw(drawn, now, zone, glyphs, console().width)
    ahead = any(stretch.to_ms > now for lane in drawn for stretch in lane.stretches[-1:])
    yield drawing.legend(glyphs, ahead=ahead)
    if len(drawn) == 1 and (so_far := sums(drawn[0].stretches, now)):
        told = ", ".join(f"{cause} {time_text.span(total)}" for cause, total in so_far.items())
        yield Text(f"So far: {told}")


def _of_lane(
    stretches: Iterable[TimelineSegment], marks: Sequence[Mark], now: int
) -> Iterator[TimelineSegment]:
    """What is drawn of a clock: nothing where it has no cycle, and the future up to its last threshold."""
    end = max([now, *(mark.at_ms for mark in marks)])
    for stretch in stretches:
        if stretch.cause != NO_CYCLE and stretch.from_ms < end:
            yield stretch._replace(to_ms=min(stretch.to_ms, end))


def marks_of(status: pb.SlaStatus, lane: Lane) -> Iterator[Mark]:
    """The thresholds of a clock's present cycle, and its end."""
    clock = lane.clock
    for threshold in clock.thresholds:
        if threshold.HasField("scheduled_at"):
            sign = "breach" if threshold.breach else "fired"
            if not threshold.HasField("fired_at"):
                if lane.is_paused:
                    continue
                sign = "breach-ahead" if threshold.breach else "ahead"
            yield Mark(time_text.ms(threshold.scheduled_at), meaning(threshold), sign)
    if clock.HasField("completed_at"):
        yield Mark(time_text.ms(clock.completed_at), "met" if clock.met else "missed", "done")
    elif lane.closed_without_verdict:
        closed_at = lane.cycle.closed_at if lane.cycle else status.ended_at
        yield Mark(time_text.ms(closed_at), "closed", "done")


def past_marks(events: Iterable[pb.SlaEvent], lane: Lane) -> list[Mark]:
    """The same of the cycles before, as far as their events are kept."""
    if lane.cycle is None:
        return []
    found: dict[tuple[int, int], Mark] = {}
    for event in events:
        opened_at = time_text.ms(event.cycle_opened_at)
        if event.clock != lane.name or opened_at == time_text.ms(lane.cycle.opened_at):
            continue
        at, threshold = time_text.ms(event.occurred_at), event.threshold
        if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
            sign = "breach" if threshold.breach else "fired"
            found[opened_at, threshold.percent] = Mark(at, meaning(threshold), sign)
        elif event.type == pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED:
            found.pop((opened_at, threshold.percent), None)
        elif event.type == pb.SLA_EVENT_TYPE_CLOCK_CLOSED:
            verdict = ("met" if event.met else "missed") if event.HasField("met") else "closed"
            found[opened_at, 0] = Mark(at, verdict, "done")
        elif event.type == pb.SLA_EVENT_TYPE_CLOCK_RETRACTED:
            found.pop((opened_at, 0), None)
    return list(found.values())


def now_at(instant: int) -> Mark:
    """The mark of the present, UTC epoch ms."""
    return Mark(instant, "now", "now")
