"""What a sink's target did not take: parked events, and the tickets that wait for them.

Contract
  - While an event of a ticket is parked, all that follows on that ticket is parked behind it: the order of a
    ticket's events is kept, whatever happens.
  - A parked event is stored with its body, so the event log need not keep it. It is there until it is
    delivered or discarded.
  - Released tickets are delivered again, ticket by ticket. This survives a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from slad_client.v1 import types_pb2 as pb

from slad.delivery.changes import Changes
from slad.engine.engine import SlaEngine
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.rows import ParkedEventRow
from slad.storage.store import Store
from slad.storage.unreadable import Unreadable

T = TypeVar("T")

MAX_PARKED: Final = 10_000
"""Events that may be parked for one sink; beyond, it waits for the operator."""

MAX_REASON: Final = 500
"""Characters of a reason that are stored."""

PAGE: Final = 128
"""Rows that are read at once."""


class TicketKey(NamedTuple):
    """A ticket, whatever its generation: what the order of events is kept for."""

    tenant_id: str
    ticket_id: str


def ticket_of(event: pb.SlaEvent | ParkedEventRow) -> TicketKey:
    """Whose event it is."""
    return TicketKey(event.tenant_id, event.ticket_id)


class ParkedEvents:
    """The parked events of one sink. For the event loop's thread; writers raise Refused."""

    def __init__(self, consumer: str, engine: SlaEngine, queries: QueryThread, clock: TimeSource) -> None:
        self._consumer = consumer
        self._engine = engine
        self._queries = queries
        self._clock = clock
        self._held: dict[TicketKey, set[int]] = {}
        self._tickets: dict[int, TicketKey] = {}
        self._released: dict[TicketKey, None] = {}
        self._changes = Changes()
        self._changing = asyncio.Lock()
        self.news = asyncio.Event()
        """Set when tickets are released."""

    async def load(self) -> None:
        """Reads what is parked. To be called once, before anything else."""
        for tenant_id, ticket_id, sequence, released in await self._queries.read(
            Store.parked_tickets, self._consumer
        ):
            ticket = TicketKey(tenant_id, ticket_id)
            self._hold(ticket, sequence)
            if released:
                self._released[ticket] = None
                self.news.set()

    @property
    def count(self) -> int:
        """How many events are parked."""
        return len(self._tickets)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be parked."""
        return self.count >= MAX_PARKED

    @property
    def has_released(self) -> bool:
        """Whether any ticket is to be delivered again."""
        return bool(self._released)

    @property
    def released(self) -> list[TicketKey]:
        """The tickets that are to be delivered again."""
        return list(self._released)

    def holds(self, event: pb.SlaEvent) -> bool:
        """Whether an event has to wait for others of its ticket, or is parked itself."""
        return bool(self._held) and ticket_of(event) in self._held

    async def page(self, after: int, limit: int) -> list[ParkedEventRow]:
        """The next parked events after a sequence, in order."""
        return await self._queries.read(Store.parked_events, self._consumer, after, limit)

    async def first(self, ticket: TicketKey) -> list[ParkedEventRow]:
        """The first parked events of a ticket, in order, up to one that is damaged.

        A released ticket that begins with such a one waits again.
        """
        try:
            return await self._queries.read(Store.parked_events_of, self._consumer, *ticket, PAGE)
        except Unreadable:
            await self._alone(self._hold_back(ticket))
            return []

    def find(self, sequence: int) -> TicketKey | None:
        """Whose event a parked one is."""
        return self._tickets.get(sequence)

    async def park(self, event: pb.SlaEvent, attempts: int, reason: str) -> None:
        """Sets an event aside that was tried `attempts` times."""
        await self._alone(self._park([event], attempts, reason[:MAX_REASON]))

    async def park_behind(self, events: Sequence[pb.SlaEvent]) -> None:
        """Sets events of held tickets aside; those that are parked already stay as they are."""
        await self._alone(self._park(events, 0, "waits behind another event of its ticket"))

    async def refused_again(self, row: ParkedEventRow, attempts: int, reason: str) -> None:
        """A released event was not taken: its ticket waits again."""
        await self._alone(self._keep(row._replace(attempts=attempts, reason=reason[:MAX_REASON])))

    async def delivered(self, rows: Sequence[ParkedEventRow]) -> None:
        """The target has taken these after all."""
        await self._alone(self._remove([row.sequence for row in rows]))

    async def release(self, tickets: Iterable[TicketKey]) -> int:
        """Lets all parked events of these tickets be delivered again; how many they are."""
        return await self._alone(self._release(tickets))

    async def release_all(self) -> int:
        """Lets everything be delivered again; how much that is."""
        return await self.release(list(self._held))

    async def discard(self, sequences: Iterable[int]) -> int:
        """Gives events up; what waited behind them is released. How many they were."""
        return await self._alone(self._discard(sequences))

    async def discard_all(self) -> int:
        """Gives everything up; how much that was."""
        return await self.discard(list(self._tickets))

    # --- inside: one change at a time, memory after disk

    async def _alone(self, change: Coroutine[Any, Any, T]) -> T:
        async def run() -> T:
            async with self._changing:
                return await change

        return await self._changes.complete(run())

    async def _park(self, events: Sequence[pb.SlaEvent], attempts: int, reason: str) -> None:
        now = self._clock.now()
        rows = [
            ParkedEventRow(
                self._consumer,
                event.sequence,
                *ticket_of(event),
                now,
                attempts,
                reason,
                int(ticket_of(event) in self._released),
                event.SerializeToString(),
            )
            for event in events
            if event.sequence not in self._tickets
        ]
        if rows:
            await self._engine.write(lambda work: work.rows.park_events(rows))
            for row in rows:
                self._hold(ticket_of(row), row.sequence)

    async def _keep(self, row: ParkedEventRow) -> None:
        if row.sequence not in self._tickets:
            return  # it was discarded meanwhile
        await self._hold_back(ticket_of(row), row)

    async def _hold_back(self, ticket: TicketKey, *rows: ParkedEventRow) -> None:
        def hold_back(work: UnitOfWork) -> None:
            work.rows.park_events(rows)
            work.rows.flag_for_redelivery(self._consumer, [ticket], False)

        await self._engine.write(hold_back)
        self._released.pop(ticket, None)

    async def _discard(self, sequences: Iterable[int]) -> int:
        gone = {s: self._tickets[s] for s in sequences if s in self._tickets}
        await self._remove(list(gone))
        await self._release(dict.fromkeys(gone.values()))
        return len(gone)

    async def _release(self, tickets: Iterable[TicketKey]) -> int:
        held = [ticket for ticket in tickets if ticket in self._held]
        if held:
            await self._engine.write(lambda work: work.rows.flag_for_redelivery(self._consumer, held, True))
            self._released.update(dict.fromkeys(held))
            self.news.set()
        return sum(len(self._held[ticket]) for ticket in held)

    async def _remove(self, sequences: Sequence[int]) -> None:
        if not sequences:
            return
        await self._engine.write(lambda work: work.rows.unpark_events(self._consumer, sequences))
        for sequence in sequences:
            ticket = self._tickets.pop(sequence, None)
            if ticket is not None:
                self._held[ticket].discard(sequence)
                if not self._held[ticket]:
                    del self._held[ticket]
                    self._released.pop(ticket, None)

    def _hold(self, ticket: TicketKey, sequence: int) -> None:
        self._held.setdefault(ticket, set()).add(sequence)
        self._tickets[sequence] = ticket
