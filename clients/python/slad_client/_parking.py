"""Events whose handlers keep failing, set aside so that those of other tickets go on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from google.protobuf.json_format import MessageToDict, ParseDict

from slad_client.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that was set aside."""

    event: pb.SlaEvent
    attempts: int
    """How often its handlers were tried; 0: it waits behind an earlier event of the same ticket."""
    error: str
    """What the last try failed with; empty when it was not tried."""
    parked_at: datetime
    """In UTC."""
    resolved: tuple[str, ...]
    """The handlers that have returned already, and are not called again."""


class ParkingLot(Protocol):
    """Where parked events are kept, for the client that blocks.

    One that is kept here is acknowledged to slad, so it has to be as durable as the work itself: a table of
    the PSA's database, with `event_id` as its key. Replicas share it.
    """

    def put(self, parked: ParkedEvent) -> None:
        """Keeps an event; one that is there already is replaced."""
        ...

    def list(self) -> Iterable[ParkedEvent]:
        """All of them."""
        ...

    def remove(self, event_id: str) -> None:
        """Forgets one; nothing if it is not there."""
        ...


class AsyncParkingLot(Protocol):
    """The same for asyncio."""

    async def put(self, parked: ParkedEvent) -> None:
        """Keeps an event; one that is there already is replaced."""
        ...

    async def list(self) -> Iterable[ParkedEvent]:
        """All of them."""
        ...

    async def remove(self, event_id: str) -> None:
        """Forgets one; nothing if it is not there."""
        ...


def parked_to_json(parked: ParkedEvent) -> str:
    """A parked event as text, for a column of JSON."""
    told = {
        "event": MessageToDict(parked.event, preserving_proto_field_name=True),
        "attempts": parked.attempts,
        "error": parked.error,
        "parked_at": parked.parked_at.isoformat(),
        "resolved": parked.resolved,
    }
    return json.dumps(told)


def parked_from_json(text: str) -> ParkedEvent:
    """The parked event that `parked_to_json` wrote."""
    told = json.loads(text)
    return ParkedEvent(
        # A later client may have written it.
        ParseDict(told["event"], pb.SlaEvent(), ignore_unknown_fields=True),
        told["attempts"],
        told["error"],
        datetime.fromisoformat(told["parked_at"]),
        tuple(told["resolved"]),
    )


Ticket = tuple[str, str]
"""tenant_id and ticket_id: what the order of events is kept for."""


def ticket_of(event: pb.SlaEvent) -> Ticket:
    """Whose event it is."""
    return event.tenant_id, event.ticket_id


def by_ticket(parked: Iterable[ParkedEvent], event_id: str | None = None) -> dict[Ticket, list[ParkedEvent]]:
    """Parked events of each ticket, in order; of the ticket of one event only, if that is named."""
    found: dict[Ticket, list[ParkedEvent]] = {}
    for one in sorted(parked, key=lambda one: one.event.sequence):
        found.setdefault(ticket_of(one.event), []).append(one)
    if event_id is None:
        return found
    return {key: events for key, events in found.items() if any(e.event.event_id == event_id for e in events)}


class Parked:
    """What a consumer knows of its parking lot: which events are there, and whose they are.

    The lot is looked at when a stream begins, as another replica may have parked some, and for each event of
    a ticket of which one was parked, as somebody may have tried them again.
    """

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] | None = None
        """By the id of the event."""

    def forget(self) -> None:
        """The lot may hold others."""
        self._tickets = None

    def is_unsure(self, event: pb.SlaEvent) -> bool:
        """Whether the lot is to be looked at before this event is dealt with."""
        return self._tickets is None or self.holds_back(event)

    def found(self, parked: Iterable[ParkedEvent]) -> None:
        """The lot holds these."""
        self._tickets = {one.event.event_id: ticket_of(one.event) for one in parked}

    def add(self, event: pb.SlaEvent) -> None:
        """The lot holds this one, too."""
        if self._tickets is not None:
            self._tickets[event.event_id] = ticket_of(event)

    def holds(self, event: pb.SlaEvent) -> bool:
        """Whether this event is parked already: it comes again after a crash."""
        return self._tickets is not None and event.event_id in self._tickets

    def holds_back(self, event: pb.SlaEvent) -> bool:
        """Whether an event of its ticket is parked, behind which it waits."""
        return self._tickets is not None and ticket_of(event) in self._tickets.values()
