"""Events as bytes, and ids that depend on nothing but what happened."""

from __future__ import annotations

from uuid import UUID

from slad_client.v1 import types_pb2 as pb

from slad.core.events import Crossing, Event, EventType, Phase
from slad.core.tracking import TicketRef, Tracking
from slad.engine.event_codec import encode_event, event_id
from tests.core.tickets import terms

TRACKING = Tracking(terms(), 1_772_442_000_000, attributes={"board": "support"})
TICKET = TicketRef("acme", "T-1", 3)
REACHED = Event(
    EventType.THRESHOLD_REACHED, 1000, Phase.RESPONSE, Crossing(50, True, 1, False, 1000, 1001, False, 0)
)


def test_event_ids_are_uuids_made_from_what_happened() -> None:
    made = event_id(TICKET, REACHED, 7)
    assert UUID(made).version == 8
    assert made == event_id(TICKET, REACHED, 7)
    assert REACHED.crossing
    others = {
        event_id(TicketRef("acme", "T-1", 4), REACHED, 7),
        event_id(TicketRef("acme", "T-2", 3), REACHED, 7),
        event_id(TICKET, REACHED._replace(occurred_at=1001), 7),
        event_id(TICKET, REACHED._replace(phase=Phase.RESOLUTION), 7),
        event_id(TICKET, REACHED._replace(crossing=REACHED.crossing._replace(percent=75)), 7),
        event_id(TICKET, REACHED._replace(crossing=REACHED.crossing._replace(arming=1)), 7),
    }
    assert len(others | {made}) == 7
    later = REACHED._replace(crossing=REACHED.crossing._replace(fired_at=9999, superseded=True))
    assert event_id(TICKET, later, 7) == made, "a restored backup announces under the same id"


def test_an_event_is_stored_as_it_goes_over_the_wire() -> None:
    message = pb.SlaEvent.FromString(encode_event(TICKET, TRACKING, REACHED, 7, 2000))
    assert message.sequence == 7
    assert message.event_id == event_id(TICKET, REACHED, 7)
    assert message.threshold.scheduled_at.ToMilliseconds() == 1000
    assert message.recorded_at.ToMilliseconds() == 2000
    assert dict(message.attributes) == {"board": "support"}
    assert not message.HasField("met")
