"""The breaches of the last 24 hours, from the event log: read back once, then followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from slad_client.v1 import types_pb2 as pb

from slad.console.live import gathered
from slad.console.words import event_clock
from slad.core.access import Tenants
from slad.core.events import EventType
from slad.core.instants import DAY_MS
from slad.delivery.hub import EventHub, LoggedEvent
from slad.engine.event_codec import decode_event
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource

LOOK_BACK: Final = 100_000
"""Events that are read back at the most."""

KEPT: Final = 20_000
"""Breaches that are kept. When there are more, the oldest of the tenant that has most of them go."""

SPARE: Final = 100
"""So many go at once."""

_TELLING: Final = (EventType.THRESHOLD_REACHED, EventType.THRESHOLD_RETRACTED)


class Breach(NamedTuple):
    """A clock that reached 100 %, at `at` (UTC epoch ms)."""

    at: int
    tenant_id: str
    ticket_id: str
    generation: int
    clock: str
    cycle_opened_at: int


class RecentBreaches:
    """Follows the event log. For the event loop's thread."""

    def __init__(self, hub: EventHub, queries: QueryThread, clock: TimeSource) -> None:
        self._hub = hub
        self._clock = clock
        self._queries = queries
        self._found: dict[str, dict[Breach, None]] = {}
        """By tenant, in the order in which they were announced."""
        self._count = 0
        self.is_caught_up = False
        """All that there was at the start has been read."""

    async def follow(self) -> None:
        """Goes on until it is cancelled, or the hub is closed (Refused)."""
        head = self._hub.head
        async for page in gathered(self._hub, max(0, head - LOOK_BACK), self._clock):
            telling = [event for event in page if event.type in _TELLING]
            if telling:
                for event in await self._queries.run(lambda _, telling=telling: list(_read(telling))):  # type: ignore[misc]
                    self._take(event)
            self.is_caught_up = self.is_caught_up or page[-1].sequence >= head

    def since(self, now: int, tenants: Tenants) -> list[Breach]:
        """Those of the last 24 hours of some tenants, or of all; the latest first."""
        begin = now - DAY_MS
        chosen = self._found if tenants is None else tenants & self._found.keys()
        found = [
            breach for tenant_id in chosen for breach in self._found[tenant_id] if begin < breach.at <= now
        ]
        return sorted(found, key=lambda breach: breach.at, reverse=True)

    def _take(self, event: pb.SlaEvent) -> None:
        breach = Breach(
            event.threshold.scheduled_at.ToMilliseconds(),
            event.tenant_id,
            event.ticket_id,
            event.generation,
            event_clock(event),
            event.cycle_opened_at.ToMilliseconds(),
        )
        of_tenant = self._found.setdefault(event.tenant_id, {})
        self._count -= len(of_tenant)
        if event.type == pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
            of_tenant[breach] = None
        else:
            of_tenant.pop(breach, None)
        self._count += len(of_tenant)
        if self._count > KEPT:
            most = max(self._found.values(), key=len)
            for old in list(islice(most, SPARE)):
                del most[old]
                self._count -= 1


def _read(events: Sequence[LoggedEvent]) -> Iterator[pb.SlaEvent]:
    for stored in events:
        event = decode_event(stored.body)
        if event is not None and event.threshold.breach:
            yield event
