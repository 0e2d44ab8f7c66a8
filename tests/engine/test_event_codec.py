"""Events as bytes, and ids that depend on nothing but what happened."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from slad_client.v1 import types_pb2 as pb

from slad.core import machine
from slad.core.events import Crossing, CycleRef, Event, EventType
from slad.core.facts import FactKind
from slad.core.instants import MAX_INSTANT_MS
from slad.core.settle import Transition
from slad.core.terms import ClockKind, ClockTerms
from slad.core.tracking import TicketRef, Tracking
from slad.engine.event_codec import TELL_NO_DUE_DATES, change_of, encode_events, event_id
from tests.core.tickets import calendars, terms

START = 1_772_442_000_000
TRACKING = Tracking(terms(), START, attributes={"board": "support"})
TICKET = TicketRef("acme", "T-1", 3)
RESPONSE = CycleRef("response", 1, 500)
CROSSING = Crossing(50, True, 1, False, 1000, 1001, False, 0)
REACHED = Event(EventType.THRESHOLD_REACHED, 1000, RESPONSE, CROSSING)


def test_event_ids_are_uuids_made_from_what_happened() -> None:
    made = event_id(TICKET, TRACKING, REACHED, 7)
    assert UUID(made).version == 8
    assert made == event_id(TICKET, TRACKING, REACHED, 7)
    assert REACHED.crossing
    others = {
        event_id(TicketRef("acme", "T-1", 4), TRACKING, REACHED, 7),
        event_id(TicketRef("acme", "T-2", 3), TRACKING, REACHED, 7),
        event_id(TICKET, TRACKING, replace(REACHED, occurred_at=1001), 7),
        event_id(TICKET, TRACKING, replace(REACHED, about=CycleRef("resolution", 1, 500)), 7),
        event_id(TICKET, TRACKING, replace(REACHED, crossing=replace(REACHED.crossing, percent=75)), 7),
        event_id(TICKET, TRACKING, replace(REACHED, crossing=replace(REACHED.crossing, arming=1)), 7),
    }
    assert len(others | {made}) == 7
    moved = replace(REACHED, about=replace(RESPONSE, opened_at=900))
    assert made == event_id(TICKET, TRACKING, moved, 7), "it has one cycle"
    cycles = {
        event_id(TICKET, TRACKING, replace(REACHED, about=CycleRef(name, number, opened_at)), 7)
        for name, number, opened_at in (("reply", 1, 5), ("reply", 2, 9), ("reply", 3, 9), ("own", 1, 5))
    }
    assert len(cycles | others) == 9, "a cycle is known by its clock and its opening, not by its number"
    later = replace(REACHED, crossing=replace(REACHED.crossing, fired_at=9999, superseded=True))
    assert event_id(TICKET, TRACKING, later, 7) == made, "a restored backup announces under the same id"


CODES = st.sampled_from(["", "AWAITING_CLIENT", "vendor", "x" * 100, "ä" * 100])
CLOCKS = st.sampled_from(["response", "resolution", "reply", "c" * 64])
INSTANTS = st.integers(0, MAX_INSTANT_MS)
CROSSINGS = st.builds(
    Crossing,
    st.integers(1, 1000),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    INSTANTS,
    INSTANTS,
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
)
EVENTS = st.builds(
    Event,
    st.sampled_from(EventType),
    INSTANTS,
    st.none() | st.builds(CycleRef, CLOCKS, st.integers(0, 300), INSTANTS),
    st.none() | CROSSINGS,
    CODES,
    st.none() | st.booleans(),
    st.sampled_from(["", "ann", "ö" * 200]),
)


@given(
    st.lists(EVENTS, max_size=4),
    st.sampled_from([TICKET, TicketRef("", "ü" * 200, 1), TicketRef("acme", "T", 20_000)]),
    st.sampled_from([{}, {"board": "support"}]),
    st.integers(0, 2**40),
    INSTANTS,
)
def test_events_are_stored_as_protobuf_writes_them(
    events: list[Event], ticket: TicketRef, attributes: dict[str, str], sequence: int, now: int
) -> None:
    tracking = Tracking(terms(), START, attributes=attributes)
    reading = machine.reading_at(tracking, calendars(), START)
    change = Transition(tracking, reading, tuple(events), changed=True)
    bodies = encode_events(change_of(ticket, change, sequence, now))
    assert len(bodies) == len(events)
    told = [event for event in events if event.type not in TELL_NO_DUE_DATES][-1:]
    for number, (event, body) in enumerate(zip(events, bodies, strict=True), sequence + 1):
        message = expected(ticket, tracking, event, number, now)
        if any(event is last for last in told):
            for clock in reading.clocks:
                due = message.due_dates.cycles.add(clock=clock.name)
                due.due_at.FromMilliseconds(clock.due_at)
        assert body == message.SerializeToString()


def expected(ticket: TicketRef, tracking: Tracking, event: Event, sequence: int, now: int) -> pb.SlaEvent:
    """An event by protobuf's own means, its due dates apart."""
    message = pb.SlaEvent(
        sequence=sequence,
        event_id=event_id(ticket, tracking, event, sequence),
        type=event.type,
        tenant_id=ticket.tenant_id,
        ticket_id=ticket.ticket_id,
        policy_id=tracking.terms.policy_id,
        generation=ticket.generation,
        met=event.met,
        attributes=tracking.attributes,
        owner=event.owner,
    )
    message.occurred_at.FromMilliseconds(event.occurred_at)
    message.recorded_at.FromMilliseconds(now)
    if about := event.about:
        message.phase = {"response": pb.SLA_PHASE_RESPONSE, "resolution": pb.SLA_PHASE_RESOLUTION}.get(
            about.clock, 0
        )
        message.clock, message.cycle = about.clock, about.cycle
        message.cycle_opened_at.FromMilliseconds(about.opened_at)
    if event.pause_reason:
        known = pb.SlaPauseReason.keys()
        name = f"SLA_PAUSE_REASON_{event.pause_reason}"
        message.pause_reason = pb.SlaPauseReason.Value(name if name in known else "SLA_PAUSE_REASON_OTHER")
        message.pause_reason_code = event.pause_reason
    if crossing := event.crossing:
        message.threshold.CopyFrom(
            pb.SlaThreshold(
                percent=crossing.percent,
                notification=crossing.notification,
                escalation_level=crossing.escalation_level,
                breach=crossing.breach,
                superseded=crossing.superseded,
                notification_superseded=crossing.notification_superseded,
            )
        )
        message.threshold.scheduled_at.FromMilliseconds(crossing.scheduled_at)
        message.threshold.fired_at.FromMilliseconds(crossing.fired_at)
    return message


def test_a_deadline_that_a_pause_moves_is_not_told() -> None:
    """And of a clock with several cycles, when the one that it is about opened."""
    named = (ClockTerms("reply", ClockKind.PERIODIC_UPDATE, 60_000, (), (0, 0, 0), 0, ()),)
    tracking = Tracking(replace(terms(), named=named), START)
    paused = machine.add_fact(tracking, FactKind.PAUSE, calendars(), START + 1000, detail=1)
    message = pb.SlaEvent.FromString(encode_events(change_of(TICKET, paused, 0, START + 1000))[-1])
    told = {due.clock: due for due in message.due_dates.cycles}
    assert told.keys() == {clock.name for clock in tracking.terms.clocks}
    assert [name for name, due in told.items() if due.HasField("due_at")] == ["reply"], "it heeds no pause"
    assert [name for name, due in told.items() if due.HasField("cycle_opened_at")] == ["reply"]
    assert told["reply"].cycle_opened_at.ToMilliseconds() == START
    assert message.SerializeToString() == encode_events(change_of(TICKET, paused, 0, START + 1000))[-1]
