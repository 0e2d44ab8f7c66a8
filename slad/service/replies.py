"""Answers and readings of the core as serialized messages of the contract.

Clocks are written as wire bytes (see `slad.storage.wire`): they are most of a reply, and the time it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core import status as status_rules
from slad.core.events import Phase
from slad.core.reading import ClockReading, Reading
from slad.core.terms import ThresholdSpec
from slad.core.timeline import TimelineSegment
from slad.core.tracking import Fired, Tracking
from slad.engines.commands import Answer
from slad.service.limits import MAX_REPLY_BYTES
from slad.storage.codec import set_ms
from slad.storage.wire import embedded, moment, prefixes, tag


def _number(message: type[Message], field: str) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[field].number
    return number


_RESPONSE: Final = tag(_number(pb.SlaStatus, "response"))
_RESOLUTION: Final = tag(_number(pb.SlaStatus, "resolution"))
_TARGET: Final = prefixes(_number(pb.SlaClock, "target"))
_ELAPSED: Final = prefixes(_number(pb.SlaClock, "elapsed"))
_DUE_AT: Final = prefixes(_number(pb.SlaClock, "due_at"))
_COMPLETED_AT: Final = prefixes(_number(pb.SlaClock, "completed_at"))
_BREACHED_AT: Final = prefixes(_number(pb.SlaClock, "breached_at"))
_THRESHOLDS: Final = prefixes(_number(pb.SlaClock, "thresholds"))
_NEXT_THRESHOLD: Final = prefixes(_number(pb.SlaClock, "next_threshold"))
_SCHEDULED_AT: Final = prefixes(_number(pb.SlaThreshold, "scheduled_at"))
_FIRED_AT: Final = prefixes(_number(pb.SlaThreshold, "fired_at"))
_MET: Final = {met: pb.SlaClock(met=met).SerializeToString() for met in (False, True)}
_REPORTED_MET: Final = {met: pb.SlaClock(reported_met=met).SerializeToString() for met in (False, True)}
_SUPERSEDED: Final = pb.SlaThreshold(superseded=True).SerializeToString()


def sla_status(answer: Answer) -> bytes:
    """How a ticket stands, a `SlaStatus` (T1, T2)."""
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
    clocks = b""
    for clock in reading.clocks:
        remaining = status_rules.remaining_minutes(clock)
        if clock.phase is Phase.RESPONSE:
            clocks += embedded(_RESPONSE, sla_clock(clock, tracking))
            if remaining is not None:
                message.response_remaining_minutes = remaining
        else:
            clocks += embedded(_RESOLUTION, sla_clock(clock, tracking))
            if remaining is not None:
                message.resolution_remaining_minutes = remaining
    return message.SerializeToString() + clocks


def with_status(head: Message, answer: Answer) -> bytes:
    """The reply that `head` begins, with how the ticket stands as its field `status`."""
    field = tag(head.DESCRIPTOR.fields_by_name["status"].number)
    return head.SerializeToString() + embedded(field, sla_status(answer))


_STARTED: Final = tag(_number(rpc.StartSlaTrackingResponse, "status"))
_CREATED: Final = {
    created: rpc.StartSlaTrackingResponse(created=created).SerializeToString() for created in (False, True)
}


def started(answer: Answer) -> bytes:
    """The reply to a start."""
    return _CREATED[answer.changed] + embedded(_STARTED, sla_status(answer))


def changed(reply: Callable[..., Message]) -> Callable[[Answer], bytes]:
    """Makes the replies that say no more than whether anything changed, and how the ticket stands."""
    return lambda answer: with_status(reply(changed=answer.changed), answer)


def sla_clock(clock: ClockReading, tracking: Tracking) -> bytes:
    """One clock, a `SlaClock`."""
    target, elapsed = moment(clock.target_ms), moment(clock.elapsed_ms)
    parts = [_TARGET[len(target)], target, _ELAPSED[len(elapsed)], elapsed]
    if (due_at := clock.due_at) is not None:
        at = moment(due_at)
        parts += (_DUE_AT[len(at)], at)
        if clock.breached_at is not None:
            parts += (_BREACHED_AT[len(at)], at)
    if clock.completed_at is not None:
        at = moment(clock.completed_at)
        parts += (_COMPLETED_AT[len(at)], at)
    if (met := clock.met) is not None:
        parts.append(_MET[met])
    if clock.reported_met is not None:
        parts.append(_REPORTED_MET[clock.reported_met])
    _add_thresholds(parts, clock, tracking)
    return b"".join(parts)


def _add_thresholds(parts: list[bytes], clock: ClockReading, tracking: Tracking) -> None:
    fired = tracking.fired_of(clock.phase) if tracking.fired else _NONE_FIRED
    closed, limit = clock.closed_at is not None, clock.limit
    upcoming: bytes | None = None
    for spec, head, instant in zip(clock.specs, _heads(clock.specs), clock.instants, strict=True):
        body = head
        if fired and (record := fired.get(spec.percent)) is not None and record.fired_at:
            scheduled_at, fired_at = moment(record.scheduled_at), moment(record.fired_at)
            body += _SCHEDULED_AT[len(scheduled_at)] + scheduled_at + _FIRED_AT[len(fired_at)] + fired_at
            if record.superseded:
                body += _SUPERSEDED
        elif instant is not None and not closed:
            at = moment(instant)
            body += _SCHEDULED_AT[len(at)] + at
            if upcoming is None and instant > limit:
                upcoming = body
        parts.append(_THRESHOLDS[len(body)])
        parts.append(body)
    if upcoming is not None:
        parts += (_NEXT_THRESHOLD[len(upcoming)], upcoming)


_NONE_FIRED: Final[dict[int, Fired]] = {}


@lru_cache(maxsize=1024)
def _heads(specs: tuple[ThresholdSpec, ...]) -> tuple[bytes, ...]:
    """What is said of a threshold whatever becomes of it."""
    return tuple(
        pb.SlaThreshold(
            percent=spec.percent,
            notification=spec.notification,
            escalation_level=spec.escalation_level,
            breach=spec.breach,
        ).SerializeToString()
        for spec in specs
    )


def preview(reading: Reading, tracking: Tracking) -> tuple[pb.SlaClock | None, pb.SlaClock | None]:
    """(response, resolution) of a ticket that is only thought of."""
    response, resolution = (reading.clock(phase) for phase in (Phase.RESPONSE, Phase.RESOLUTION))
    return (
        pb.SlaClock.FromString(sla_clock(response, tracking)) if response else None,
        pb.SlaClock.FromString(sla_clock(resolution, tracking)) if resolution else None,
    )


def timeline_segment(segment: TimelineSegment) -> pb.SlaTimelineSegment:
    """One stretch of a timeline."""
    message = pb.SlaTimelineSegment(kind=pb.SlaTimelineKind.ValueType(segment.kind), cause=segment.cause)
    set_ms(message.from_time, segment.from_ms)
    set_ms(message.to_time, segment.to_ms)
    return message


def listed(reply: type[Message], field: str, bodies: Iterable[bytes]) -> bytes:
    """The part of a `reply` that is its repeated `field`, of serialized messages."""
    field_tag = tag(_number(reply, field))
    return b"".join([embedded(field_tag, body) for body in bodies])


def frame_events(bodies: list[bytes]) -> Iterator[bytes]:
    """WatchSlaEventsResponses of serialized events, by copying."""
    page: list[bytes] = []
    size = 0
    for body in bodies:
        if size + len(body) > MAX_REPLY_BYTES and page:
            yield listed(rpc.WatchSlaEventsResponse, "events", page)
            page, size = [], 0
        page.append(body)
        size += len(body)
    if page:
        yield listed(rpc.WatchSlaEventsResponse, "events", page)
