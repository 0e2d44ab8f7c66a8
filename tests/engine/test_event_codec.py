"""Events as bytes, and ids that depend on nothing but what happened."""

from __future__ import annotations

from uuid import UUID

from slad_client.v1 import types_pb2 as pb

from slad.core.events import Crossing, CycleRef, Event, EventType
from slad.core.tracking import TicketRef, Tracking
from slad.engine.event_codec import encode_event, event_id
from tests.core.tickets import terms

TRACKING = Tracking(terms(), 1_772_442_000_000, attributes={"board": "support"})
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
        event_id(TICKET, TRACKING, REACHED._replace(occurred_at=1001), 7),
        event_id(TICKET, TRACKING, REACHED._replace(about=CycleRef("resolution", 1, 500)), 7),
        event_id(TICKET, TRACKING, REACHED._replace(crossing=REACHED.crossing._replace(percent=75)), 7),
        event_id(TICKET, TRACKING, REACHED._replace(crossing=REACHED.crossing._replace(arming=1)), 7),
    }
    assert len(others | {made}) == 7
    moved = REACHED._replace(about=RESPONSE._replace(opened_at=900))
    assert made == event_id(TICKET, TRACKING, moved, 7), "it has one cycle"
    cycles = {
        event_id(TICKET, TRACKING, REACHED._replace(about=CycleRef(name, number, opened_at)), 7)
        for name, number, opened_at in (("reply", 1, 5), ("reply", 2, 9), ("reply", 3, 9), ("own", 1, 5))
    }
    assert len(cycles | others) == 9, "a cycle is known by its clock and its opening, not by its number"
    later = REACHED._replace(crossing=REACHED.crossing._replace(fired_at=9999, superseded=True))
    assert event_id(TICKET, TRACKING, later, 7) == made, "a restored backup announces under the same id"


def test_an_event_is_stored_as_it_goes_over_the_wire() -> None:
    message = pb.SlaEvent.FromString(encode_event(TICKET, TRACKING, REACHED, 7, 2000))
    assert message.sequence == 7
    assert message.event_id == event_id(TICKET, TRACKING, REACHED, 7)
    assert message.threshold.scheduled_at.ToMilliseconds() == 1000
    assert message.recorded_at.ToMilliseconds() == 2000
    assert dict(message.attributes) == {"board": "support"}
    assert not message.HasField("met")
