"""Answers and readings of the core as serialized messages of the contract.

Clocks are written as wire bytes (see `slad.engine.protobuf_bytes`): most of a reply and of what it costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from google.protobuf.message import Message
from slad_client.v1 import attainment_pb2
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core import status as status_rules
from slad.core.events import Phase, pause_reason
from slad.core.facts import Life
from slad.core.reading import ClockReading, Reading
from slad.core.status import TimerStatus, TrackingState
from slad.core.terms import ThresholdSpec
from slad.core.timeline import TimelineSegment
from slad.core.tracking import Fired, Tracking
from slad.engine.commands import Answer, Complete, Render
from slad.engine.event_codec import set_ms
from slad.engine.protobuf_bytes import VARINT, embedded, moment, number, prefixes, tag_of, text, varint
from slad.engine.queries import TrackingPage, TrackingTimeline
from slad.service.fields import page_token
from slad.service.limits import MAX_REPLY_BYTES, STREAM_BYTES
from slad.storage.codec import AuditEntry

_TARGET: Final = prefixes(tag_of(pb.SlaClock, "target"))
_ELAPSED: Final = prefixes(tag_of(pb.SlaClock, "elapsed"))
_AGREED_DUE_AT: Final = prefixes(tag_of(pb.SlaClock, "agreed_due_at"))
_DUE_AT: Final = prefixes(tag_of(pb.SlaClock, "due_at"))
_COMPLETED_AT: Final = prefixes(tag_of(pb.SlaClock, "completed_at"))
_BREACHED_AT: Final = prefixes(tag_of(pb.SlaClock, "breached_at"))
_THRESHOLDS: Final = prefixes(tag_of(pb.SlaClock, "thresholds"))
_NEXT_THRESHOLD: Final = prefixes(tag_of(pb.SlaClock, "next_threshold"))
_SCHEDULED_AT: Final = prefixes(tag_of(pb.SlaThreshold, "scheduled_at"))
_FIRED_AT: Final = prefixes(tag_of(pb.SlaThreshold, "fired_at"))
_MET: Final = {met: pb.SlaClock(met=met).SerializeToString() for met in (False, True)}
_REPORTED_MET: Final = {met: pb.SlaClock(reported_met=met).SerializeToString() for met in (False, True)}
_SUPERSEDED: Final = pb.SlaThreshold(superseded=True).SerializeToString()

_TENANT_ID: Final = tag_of(pb.SlaStatus, "tenant_id")
_TICKET_ID: Final = tag_of(pb.SlaStatus, "ticket_id")
_GENERATION: Final = tag_of(pb.SlaStatus, "generation", VARINT)
# By number, which 0 is none of: the hash of an enum's member is a call of its own.
_STATE: Final = tuple(
    pb.SlaStatus(state=pb.SlaTrackingState.ValueType(state)).SerializeToString()
    for state in range(max(TrackingState) + 1)
)
_STATUS: Final = tuple(
    pb.SlaStatus(status=pb.SlaTimerStatus.ValueType(status)).SerializeToString()
    for status in range(max(TimerStatus) + 1)
)
_CLOCK: Final = (b"", tag_of(pb.SlaStatus, "response"), tag_of(pb.SlaStatus, "resolution"))
_REMAINING: Final = (
    b"",
    tag_of(pb.SlaStatus, "response_remaining_minutes", VARINT),
    tag_of(pb.SlaStatus, "resolution_remaining_minutes", VARINT),
)
_IS_PAUSED: Final = pb.SlaStatus(is_paused=True).SerializeToString()
_PAUSE_REASON: Final = tag_of(pb.SlaStatus, "pause_reason", VARINT)
_TOTAL_PAUSE: Final = tag_of(pb.SlaStatus, "total_pause_minutes", VARINT)
_STARTED_AT: Final = prefixes(tag_of(pb.SlaStatus, "started_at"))
_ENDED_AT: Final = prefixes(tag_of(pb.SlaStatus, "ended_at"))
_AS_OF: Final = prefixes(tag_of(pb.SlaStatus, "as_of"))


def sla_status(answer: Answer) -> bytes:
    """How a ticket stands, a `SlaStatus` (T1, T2)."""
    tracking, reading = answer.tracking, answer.reading
    terms, history = tracking.terms, reading.history
    started_at, as_of = moment(tracking.started_at), moment(reading.now)
    parts = [
        text(_TENANT_ID, answer.ticket.tenant_id),
        text(_TICKET_ID, answer.ticket.ticket_id),
        _promised(terms.policy_id, terms.priority_id, tracking.accounting, tracking.engine, reading.timezone),
        _GENERATION + varint(answer.ticket.generation),
        _STATE[answer.state],
        _STATUS[status_rules.timer_status(reading)],
        _STARTED_AT[len(started_at)],
        started_at,
        _AS_OF[len(as_of)],
        as_of,
    ]
    if history.holds and (held := history.held):
        parts += (_IS_PAUSED, _PAUSE_REASON + varint(pause_reason(held[0])))
    if history.stops:
        parts.append(_TOTAL_PAUSE + varint(status_rules.total_pause_minutes(history, reading.now)))
    if history.ended_at is not None:
        ended_at = moment(history.ended_at)
        parts += (_ENDED_AT[len(ended_at)], ended_at)
    if tracking.attributes:
        parts.append(pb.SlaStatus(attributes=tracking.attributes).SerializeToString())
    for clock in reading.unnamed:
        parts.append(embedded(_CLOCK[clock.terms.kind], sla_clock(clock, tracking)))
        remaining = status_rules.remaining_minutes(clock)
        if remaining is not None:
            parts.append(number(_REMAINING[clock.terms.kind], remaining))
    if terms.named or history.owner or history.life is Life.PAUSED:
        parts.append(_of_named_clocks(answer))
    return b"".join(parts)


def _of_named_clocks(answer: Answer) -> bytes:
    """What a status says of clocks that have to be named, of reasons and of the owner (K5, K8)."""
    tracking, history = answer.tracking, answer.reading.history
    clocks = clock_statuses(answer.reading, tracking) if tracking.terms.named else ()
    return pb.SlaStatus(clocks=clocks, pause_reasons=history.held, owner=history.owner).SerializeToString()


def annotated(answer: Answer) -> bytes:
    """An AnnotateSlaResponse."""
    return attainment_pb2.AnnotateSlaResponse(changed=answer.changed).SerializeToString()


def clock_statuses(reading: Reading, tracking: Tracking) -> Iterator[pb.SlaClockStatus]:
    """How each clock stands: its open cycle, else its last one (K8)."""
    for terms in tracking.terms.clocks:
        cycles = reading.cycles(terms.name)
        verdicts = [cycle.met for cycle in cycles if cycle.closed_at is not None]
        message = pb.SlaClockStatus(
            name=terms.name,
            kind=pb.SlaClockKind.ValueType(terms.kind),
            status=pb.SLA_TIMER_STATUS_ON_TRACK,
            cycles_closed=len(verdicts),
            cycles_met=verdicts.count(True),
            cycles_missed=verdicts.count(False),
        )
        if cycles:
            cycle = cycles[-1]
            message.status = pb.SlaTimerStatus.ValueType(status_rules.clock_status(cycle))
            message.cycle, message.is_paused = cycle.number, cycle.is_paused
            set_ms(message.opened_at, cycle.opened_at)
            message.clock.MergeFromString(sla_clock(cycle, tracking))
            if cycle.closed_at is not None:
                set_ms(message.closed_at, cycle.closed_at)
        yield message


@lru_cache(maxsize=1024)
def _promised(policy_id: str, priority_id: str, accounting: int, engine: int, timezone: str) -> bytes:
    """What a status says about the terms; a desk has few different ones."""
    return pb.SlaStatus(
        policy_id=policy_id,
        priority_id=priority_id,
        pause_accounting=pb.PauseAccounting.ValueType(accounting),
        engine=pb.SlaEngine.ValueType(engine),
        timezone=timezone,
    ).SerializeToString()


def with_status(head: Message, answer: Answer) -> bytes:
    """The reply that `head` begins, with how the ticket stands as its field `status`."""
    return head.SerializeToString() + embedded(tag_of(type(head), "status"), sla_status(answer))


class CommandReply(NamedTuple):
    """Makes the replies that say no more than whether anything changed, and how the ticket stands."""

    whole: Render
    brief: Render
    """Without the status (X4)."""


def _command_reply(reply: type[Message], field: str) -> CommandReply:
    heads = tuple(reply(**{field: changed}).SerializeToString() for changed in (False, True))
    status = tag_of(reply, "status")
    return CommandReply(
        lambda answer: heads[answer.changed] + embedded(status, sla_status(answer)),
        lambda answer: heads[answer.changed],
    )


STARTED: Final = _command_reply(rpc.StartSlaTrackingResponse, "created")
PAUSED: Final = _command_reply(rpc.PauseSlaResponse, "changed")
RESUMED: Final = _command_reply(rpc.ResumeSlaResponse, "changed")
CANCELLED: Final = _command_reply(rpc.CancelSlaResponse, "changed")
RETARGETED: Final = _command_reply(rpc.RetargetSlaResponse, "changed")
REOPENED: Final = _command_reply(rpc.ReopenSlaResponse, "changed")
RECORDED: Final = _command_reply(rpc.RecordSlaMessageResponse, "changed")
ASSIGNED: Final = _command_reply(rpc.AssignSlaResponse, "changed")


class Completed:
    """Makes the reply to one completion, with the verdict (M3)."""

    def __init__(self, command: Complete, *, omit_status: bool = False) -> None:
        self._command = command
        self._omit_status = omit_status
        self.differs_on = ""
        """The clock on which the caller reported another verdict than slad's, once the reply is made."""

    def __call__(self, answer: Answer) -> bytes:
        """The serialized CompleteSlaResponse."""
        command = self._command
        met = answer.verdict(command)
        reply = rpc.CompleteSlaResponse(changed=answer.changed, met=met is not False)
        reply.met_differs = met is not None and command.reported_met not in (None, met)
        if reply.met_differs and answer.changed:
            self.differs_on = command.clock
        return reply.SerializeToString() if self._omit_status else with_status(reply, answer)


def sla_clock(clock: ClockReading, tracking: Tracking) -> bytes:
    """One clock, a `SlaClock`."""
    target, elapsed = moment(clock.target_ms), moment(clock.elapsed_ms)
    parts = [_TARGET[len(target)], target, _ELAPSED[len(elapsed)], elapsed]
    if (due_at := clock.due_at) is not None:
        at = moment(due_at)
        parts += (_DUE_AT[len(at)], at)
        if clock.breached_at is not None:
            parts += (_BREACHED_AT[len(at)], at)
    terms = tracking.terms
    has_due_date = terms.response_due_at or terms.resolution_due_at
    if has_due_date and (phase := clock.phase) and (agreed_due_at := terms.due_at(phase)):
        at = moment(agreed_due_at)
        parts += (_AGREED_DUE_AT[len(at)], at)
    if clock.completion is not None:
        _add_completion(parts, clock)
    _add_thresholds(parts, clock, tracking)
    return b"".join(parts)


def _add_completion(parts: list[bytes], clock: ClockReading) -> None:
    if clock.completed_at is not None:
        at = moment(clock.completed_at)
        parts += (_COMPLETED_AT[len(at)], at)
    if (met := clock.met) is not None:
        parts.append(_MET[met])
    if clock.reported_met is not None:
        parts.append(_REPORTED_MET[clock.reported_met])


def _add_thresholds(parts: list[bytes], clock: ClockReading, tracking: Tracking) -> None:
    fired = tracking.fired_of(clock.key) if tracking.fired else _NONE_FIRED
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
        parts += (_THRESHOLDS[len(body)], body)
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


def preview(reading: Reading, tracking: Tracking) -> rpc.PreviewSlaResponse:
    """The clocks of a ticket that does not exist."""
    reply = rpc.PreviewSlaResponse()
    for phase, message in ((Phase.RESPONSE, reply.response), (Phase.RESOLUTION, reply.resolution)):
        if clock := reading.clock(phase):
            message.MergeFromString(sla_clock(clock, tracking))
    if tracking.terms.named:
        reply.clocks.extend(clock_statuses(reading, tracking))
    return reply


def timeline_segment(segment: TimelineSegment) -> pb.SlaTimelineSegment:
    """One stretch of a timeline."""
    message = pb.SlaTimelineSegment(kind=pb.SlaTimelineKind.ValueType(segment.kind), cause=segment.cause)
    set_ms(message.from_time, segment.from_ms)
    set_ms(message.to_time, segment.to_ms)
    return message


MAX_AUDIT_BYTES: Final = 1024 * 1024
"""Of the commands in a timeline, which has segments and events besides."""


def audit(entries: Sequence[tuple[int, AuditEntry]]) -> bytes:
    """The commands of a timeline, as its field `audit`: the latest of them that a reply may hold."""
    bodies: list[bytes] = []
    size = 0
    for recorded_at, entry in reversed(entries):
        message = pb.SlaAuditEntry(
            command=entry.command,
            request_id=entry.request_id,
            changed=entry.changed,
            note=entry.note,
            token_id=entry.token_id,
        )
        set_ms(message.recorded_at, recorded_at)
        if entry.effective_at is not None:
            set_ms(message.effective_at, entry.effective_at)
        bodies.append(message.SerializeToString())
        size += len(bodies[-1])
        if size > MAX_AUDIT_BYTES:
            break
    return listed(rpc.GetSlaTimelineResponse, "audit", reversed(bodies))


def page(found: TrackingPage) -> bytes:
    """The ListSlaTrackingsResponse of a page; fewer than it has when they are large."""
    statuses: list[bytes] = []
    size, next_key = 0, found.next_key
    for index, (key, answer) in enumerate(found.trackings):
        statuses.append(sla_status(answer))
        size += len(statuses[-1])
        if size > MAX_REPLY_BYTES and index + 1 < len(found.trackings):
            next_key = key
            break
    rest = rpc.ListSlaTrackingsResponse(next_page_token=page_token(next_key)).SerializeToString()
    return listed(rpc.ListSlaTrackingsResponse, "trackings", statuses) + rest


def life(found: TrackingTimeline) -> bytes:
    """The GetSlaTimelineResponse of a life; of its events as many as fit."""
    reply = rpc.GetSlaTimelineResponse(segments=map(timeline_segment, found.segments))
    sizes = accumulate(len(event.body) for event in found.events)
    events = [e.body for e, size in zip(found.events, sizes, strict=True) if size <= MAX_REPLY_BYTES]
    body = with_status(reply, found.answer) + listed(type(reply), "events", events)
    return body + audit(found.audit)


def listed(reply: type[Message], field: str, bodies: Iterable[bytes]) -> bytes:
    """The part of a `reply` that is its repeated `field`, of serialized messages."""
    field_tag = tag_of(reply, field)
    return b"".join([embedded(field_tag, body) for body in bodies])


def frame_events(bodies: list[bytes]) -> Iterator[bytes]:
    """WatchSlaEventsResponses of serialized events, by copying."""
    page: list[bytes] = []
    size = 0
    for body in bodies:
        if size + len(body) > STREAM_BYTES and page:
            yield listed(rpc.WatchSlaEventsResponse, "events", page)
            page, size = [], 0
        page.append(body)
        size += len(body)
    if page:
        yield listed(rpc.WatchSlaEventsResponse, "events", page)
