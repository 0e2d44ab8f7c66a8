"""Answers and readings of the core as messages of the contract."""

from __future__ import annotations

from collections.abc import Iterator

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core import status as status_rules
from slad.core.events import Phase
from slad.core.reading import ClockReading, Reading
from slad.core.timeline import TimelineSegment
from slad.core.tracking import Fired, Tracking
from slad.engines.commands import Answer
from slad.service.limits import MAX_REPLY_BYTES
from slad.storage.codec import set_ms


def sla_status(answer: Answer) -> pb.SlaStatus:
    """How a ticket stands (T1, T2)."""
    tracking, reading = answer.tracking, answer.reading
    history = reading.history
    pause = history.running_pause
    message = pb.SlaStatus(
        tenant_id=answer.tenant_id,
        ticket_id=answer.ticket_id,
        policy_id=tracking.terms.policy_id,
        priority_id=tracking.terms.priority_id,
        generation=answer.generation,
        state=pb.SlaTrackingState.ValueType(answer.state),
        status=pb.SlaTimerStatus.ValueType(status_rules.timer_status(reading)),
        is_paused=pause is not None,
        pause_reason=pb.SlaPauseReason.ValueType(pause.reason or 0 if pause else 0),
        total_pause_minutes=status_rules.total_pause_minutes(history, reading.now),
        attributes=tracking.attributes or None,
        engine=pb.SlaEngine.ValueType(tracking.engine),
        pause_accounting=pb.PauseAccounting.ValueType(tracking.accounting),
        timezone=reading.timezone,
    )
    set_ms(message.started_at, tracking.started_at)
    if history.ended_at is not None:
        set_ms(message.ended_at, history.ended_at)
    set_ms(message.as_of, reading.now)
    for clock in reading.clocks:
        remaining = status_rules.remaining_minutes(clock)
        if clock.phase is Phase.RESPONSE:
            fill_clock(message.response, clock, tracking)
            if remaining is not None:
                message.response_remaining_minutes = remaining
        else:
            fill_clock(message.resolution, clock, tracking)
            if remaining is not None:
                message.resolution_remaining_minutes = remaining
    return message


def started(answer: Answer) -> bytes:
    """The serialized reply to a start."""
    return rpc.StartSlaTrackingResponse(created=answer.changed, status=sla_status(answer)).SerializeToString()


def fill_clock(message: pb.SlaClock, clock: ClockReading, tracking: Tracking) -> None:
    """Writes one clock into `message`."""
    set_ms(message.target, clock.target_ms)
    set_ms(message.elapsed, clock.elapsed_ms)
    due_at, breached_at, met = clock.due_at, clock.breached_at, clock.met
    if due_at is not None:
        set_ms(message.due_at, due_at)
    if clock.completed_at is not None:
        set_ms(message.completed_at, clock.completed_at)
    if met is not None:
        message.met = met
    if clock.reported_met is not None:
        message.reported_met = clock.reported_met
    if breached_at is not None:
        set_ms(message.breached_at, breached_at)
    _fill_thresholds(message, clock, tracking.fired_of(clock.phase))


def _fill_thresholds(message: pb.SlaClock, clock: ClockReading, fired: dict[int, Fired]) -> None:
    closed = clock.closed_at is not None
    upcoming: pb.SlaThreshold | None = None
    for (percent, notification, level, breach), instant in clock.marks:
        threshold = message.thresholds.add(
            percent=percent, notification=notification, escalation_level=level, breach=breach
        )
        record = fired.get(percent)
        if record is not None and record.fired_at:
            set_ms(threshold.scheduled_at, record.scheduled_at)
            set_ms(threshold.fired_at, record.fired_at)
            threshold.superseded = record.superseded
        elif instant is not None and not closed:
            set_ms(threshold.scheduled_at, instant)
            if upcoming is None and not clock.has_happened(instant):
                upcoming = threshold
    if upcoming is not None:
        message.next_threshold.CopyFrom(upcoming)


def preview(reading: Reading, tracking: Tracking) -> tuple[pb.SlaClock | None, pb.SlaClock | None]:
    """(response, resolution) of a ticket that is only thought of."""
    clocks: list[pb.SlaClock | None] = []
    for phase in (Phase.RESPONSE, Phase.RESOLUTION):
        clock = reading.clock(phase)
        message = pb.SlaClock() if clock else None
        if clock is not None and message is not None:
            fill_clock(message, clock, tracking)
        clocks.append(message)
    return clocks[0], clocks[1]


def timeline_segment(segment: TimelineSegment) -> pb.SlaTimelineSegment:
    """One stretch of a timeline."""
    message = pb.SlaTimelineSegment(kind=pb.SlaTimelineKind.ValueType(segment.kind), cause=segment.cause)
    set_ms(message.from_time, segment.from_ms)
    set_ms(message.to_time, segment.to_ms)
    return message


def frame_events(bodies: list[bytes]) -> Iterator[bytes]:
    """Serialized WatchSlaEventsResponses of serialized events, by copying (field 1, length-delimited)."""
    parts: list[bytes] = []
    size = 0
    for body in bodies:
        if size + len(body) > MAX_REPLY_BYTES and parts:
            yield b"".join(parts)
            parts, size = [], 0
        parts.append(b"\x0a" + _varint(len(body)))
        parts.append(body)
        size += len(body)
    if parts:
        yield b"".join(parts)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
