"""Replies written as wire bytes say what the same reply made of message objects would say."""

from __future__ import annotations

import msgspec
from google.protobuf.message import Message
from hypothesis import example, given
from hypothesis import strategies as st
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core import machine
from slad.core.events import pause_reason
from slad.core.facts import FactKind
from slad.core.instants import MINUTE_MS
from slad.core.reading import ClockReading
from slad.core.settle import Transition
from slad.core.status import remaining_minutes, timer_status, total_pause_minutes, tracking_state
from slad.core.tracking import TicketRef, Tracking
from slad.engine.commands import Answer
from slad.service import replies
from tests.core.tickets import OFFICE, at, calendars, terms, tracking

BOOK = calendars(OFFICE)
MONDAY_9 = at("2026-03-02T09:00:00Z")

STEPS = st.lists(
    st.tuples(st.sampled_from(["pass", *(kind.name for kind in FactKind)]), st.integers(0, 90 * MINUTE_MS)),
    max_size=6,
)


def life(steps: list[tuple[str, int]], *, suppress: bool) -> Transition:
    """A ticket to which that has happened, each step so many ms after the one before."""
    begun = tracking(MONDAY_9 - MINUTE_MS, terms(60, 240, (10, 50, 75), (70, 90, 110)))
    now = MONDAY_9
    state = machine.begin(
        msgspec.structs.replace(begun, attributes={"queue": "network"}), BOOK, now, suppress_past=suppress
    )
    for step, span in steps:
        now += span
        state = machine.fire(state.tracking, BOOK, now)
        if step in ("PAUSE", "RESUME", "RESPOND", "RESOLVE", "CANCEL"):
            if state.reading.history.life.ended:
                break
            kind = FactKind[step]
            state = machine.add_fact(state.tracking, kind, BOOK, now, detail=1 if step == "PAUSE" else 0)
    return state


def answer_of(state: Transition) -> Answer:
    life_now = state.reading.history.life
    return Answer(
        TicketRef("acme", "T-1", 3), tracking_state(life_now), state.tracking, state.reading, changed=True
    )


def clock_message(clock: ClockReading, tracking: Tracking) -> pb.SlaClock:
    """The clock as a message, field by field."""
    message = pb.SlaClock()
    message.target.FromMilliseconds(clock.target_ms)
    message.elapsed.FromMilliseconds(clock.elapsed_ms)
    for name in ("due_at", "completed_at", "breached_at"):
        instant = getattr(clock, name)
        if instant is not None:
            getattr(message, name).FromMilliseconds(instant)
    for name in ("met", "reported_met"):
        if getattr(clock, name) is not None:
            setattr(message, name, getattr(clock, name))
    upcoming = None
    for spec, instant in clock.marks:
        threshold = message.thresholds.add(
            percent=spec.percent,
            notification=spec.notification,
            escalation_level=spec.escalation_level,
            breach=spec.breach,
        )
        record = tracking.fired_of(clock.key).get(spec.percent)
        if record is not None and record.fired_at:
            threshold.scheduled_at.FromMilliseconds(record.scheduled_at)
            threshold.fired_at.FromMilliseconds(record.fired_at)
            threshold.superseded = record.superseded
        elif instant is not None and clock.closed_at is None:
            threshold.scheduled_at.FromMilliseconds(instant)
            if upcoming is None and not clock.has_happened(instant):
                upcoming = threshold
    if upcoming is not None:
        message.next_threshold.CopyFrom(upcoming)
    return message


@given(STEPS, st.booleans())
def test_clocks(steps: list[tuple[str, int]], suppress: bool) -> None:
    state = life(steps, suppress=suppress)
    for clock in state.reading.clocks:
        body = replies.sla_clock(clock, state.tracking)
        assert pb.SlaClock.FromString(body) == clock_message(clock, state.tracking)


def status_message(answer: Answer) -> pb.SlaStatus:
    """The status as a message, field by field."""
    tracking, reading = answer.tracking, answer.reading
    history = reading.history
    pause = history.running_pause
    message = pb.SlaStatus(
        tenant_id=answer.ticket.tenant_id,
        ticket_id=answer.ticket.ticket_id,
        policy_id=tracking.terms.policy_id,
        priority_id=tracking.terms.priority_id,
        generation=answer.ticket.generation,
        state=pb.SlaTrackingState.ValueType(answer.state),
        status=pb.SlaTimerStatus.ValueType(timer_status(reading)),
        is_paused=pause is not None,
        pause_reason=pb.SlaPauseReason.ValueType(pause_reason(history.held[0]) if pause else 0),
        pause_reasons=history.held,
        total_pause_minutes=total_pause_minutes(history, reading.now),
        attributes=tracking.attributes,
        engine=pb.SlaEngine.ValueType(tracking.engine),
        pause_accounting=pb.PauseAccounting.ValueType(tracking.accounting),
        timezone=reading.timezone,
    )
    message.started_at.FromMilliseconds(tracking.started_at)
    message.as_of.FromMilliseconds(reading.now)
    if history.ended_at is not None:
        message.ended_at.FromMilliseconds(history.ended_at)
    for clock in reading.clocks:
        name = clock.name
        getattr(message, name).CopyFrom(clock_message(clock, tracking))
        if (remaining := remaining_minutes(clock)) is not None:
            setattr(message, f"{name}_remaining_minutes", remaining)
    return message


@given(STEPS, st.booleans())
@example([("pass", 90 * MINUTE_MS)] * 6, False).via("past both targets: less than nothing remains")
def test_a_status_is_what_the_message_would_be(steps: list[tuple[str, int]], suppress: bool) -> None:
    answer = answer_of(life(steps, suppress=suppress))
    status = pb.SlaStatus.FromString(replies.sla_status(answer))
    assert status == status_message(answer)
    again = pb.SlaStatus.FromString(status.SerializeToString())
    again.DiscardUnknownFields()
    assert again == status


def test_replies_carry_the_status() -> None:
    answer = answer_of(life([("PAUSE", MINUTE_MS)], suppress=False))
    status = pb.SlaStatus.FromString(replies.sla_status(answer))
    started = rpc.StartSlaTrackingResponse.FromString(replies.STARTED.whole(answer))
    assert started == rpc.StartSlaTrackingResponse(created=True, status=status)
    head: Message
    for head in (rpc.PauseSlaResponse(changed=True), rpc.CompleteSlaResponse(changed=True, met=True)):
        reply = type(head).FromString(replies.with_status(head, answer))
        head.status.CopyFrom(status)
        assert reply == head


def test_lists_and_watches_frame_what_is_serialized_already() -> None:
    events = [pb.SlaEvent(sequence=number, ticket_id="T" * number) for number in range(1, 300)]
    (frame,) = replies.frame_events([event.SerializeToString() for event in events])
    assert rpc.WatchSlaEventsResponse.FromString(frame) == rpc.WatchSlaEventsResponse(events=events)
