"""Durable consumers of the event log: named cursors with stand-by streams (E2).

Contract
  - A consumer is created by its first watch and remembered with what it has acknowledged.
  - Its stream begins after the acknowledgement: delivery is at least once, in order.
  - One stream of a consumer is live. Others wait, in order of arrival, and take over from the
    acknowledgement when it ends.
  - An acknowledgement is durable when it is answered. It is cumulative, and never goes back.
  - A consumer is for the tenants of the caller who made it, and for callers with the very same tenants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from slad.config.settings import DEFAULT_LIMITS
from slad.core.access import TRUSTED, Caller, Tenants
from slad.core.errors import Refusal, Refused
from slad.delivery.changes import Changes
from slad.delivery.hub import EventHub, LoggedEvent
from slad.engine.engine import SlaEngine
from slad.engine.event_codec import recorded_at
from slad.engine.time_source import TimeSource
from slad.storage.codec import decode_tenants, encode_tenants
from slad.storage.rows import ConsumerRow

SINK_PREFIX: Final = "sink:"
"""How the names of consumers begin that are the daemon's own sinks."""

MAX_CONSUMERS: Final = 1_000
"""Names that are remembered; each holds back events that it has not acknowledged."""

MAX_CONSUMERS_OF_TENANTS: Final = 250
"""Of those for the same tenants, so that some are left for others."""


class ConsumerView(NamedTuple):
    """How a consumer stands; instants in UTC epoch ms."""

    name: str
    acknowledged: int
    head: int
    lag: int
    streams: int
    created_at: int
    acknowledged_at: int | None
    tenants: Tenants
    behind_since: int | None
    """When the oldest event was committed that is owed to it."""


class _Consumer:
    def __init__(self, row: ConsumerRow, sent: int) -> None:
        self.row = row
        self.sent = sent
        """The highest sequence that it may acknowledge."""
        self.confirmed = row.acknowledged
        """The highest sequence that it has acknowledged in so many words."""
        self.delivered = self.scanned = row.acknowledged
        """Of the live stream: the last event sent, and the last one looked at."""
        self.streams = 0
        self.streaming = asyncio.Lock()
        self.acknowledging = asyncio.Lock()
        self.tenants = decode_tenants(row.tenants)

    @property
    def acknowledged(self) -> int:
        """Up to where nothing is owed to it: what its filter left out needs no acknowledgement."""
        stored = self.row.acknowledged
        return max(stored, self.scanned) if stored >= self.delivered else stored


class Consumers:
    """All consumers of this daemon. For the event loop's thread."""

    def __init__(
        self,
        rows: Sequence[ConsumerRow],
        engine: SlaEngine,
        hub: EventHub,
        clock: TimeSource,
        max_streams: int = DEFAULT_LIMITS.consumer_streams,
    ) -> None:
        self._max_streams = max_streams
        self._engine = engine
        self._hub = hub
        self._clock = clock
        # What was sent before a restart is not known any more; it cannot be more than there was.
        self._consumers = {row.name: _Consumer(row, hub.head) for row in rows}
        self._creating = asyncio.Lock()
        self._complete = Changes().complete

    async def views(self, owed: Callable[[int], Awaitable[int]]) -> list[ConsumerView]:
        """All consumers; `owed` counts the events after a sequence."""
        return [
            ConsumerView(
                name,
                c.acknowledged,
                self._hub.head,
                await owed(c.acknowledged),
                c.streams,
                c.row.created_at,
                c.row.acknowledged_at,
                c.tenants,
                await self.behind_since(c.acknowledged),
            )
            for name, c in sorted(self._consumers.items())
        ]

    async def behind_since(self, acknowledged: int) -> int | None:
        """When the oldest event after a sequence was committed, UTC epoch ms; None: there is none."""
        oldest = await self._hub.next_event(acknowledged) if self._hub.owed(acknowledged) else None
        return oldest and recorded_at(oldest.body)

    def rows(self) -> list[tuple[ConsumerRow, int, int]]:
        """(stored row, up to where nothing is owed to it, open streams) of all consumers, by name."""
        return [(c.row, c.acknowledged, c.streams) for _, c in sorted(self._consumers.items())]

    def acknowledged(self) -> int:
        """Up to which sequence nothing is owed to anybody."""
        return min((c.acknowledged for c in self._consumers.values()), default=self._hub.head)

    async def stream(
        self,
        name: str,
        after: int | None,
        wanted: Callable[[LoggedEvent], bool],
        tenants: Tenants = None,
        require: Callable[[], None] | None = None,
    ) -> AsyncGenerator[Sequence[LoggedEvent], None]:
        """The wanted events of a consumer, when it is this stream's turn. Raises Refused.

        `tenants` are the caller's; that only events of theirs are wanted is for the caller to see to.
        `require` is as in `EventHub.follow`.
        """
        consumer = await self._complete(self._ensure(name, after, tenants))
        if consumer.tenants != tenants:
            raise Refused(
                Refusal.PERMISSION_DENIED,
                "CONSUMER_OF_OTHERS",
                f"the name {name!r} is taken by a consumer for other tenants",
            )
        if consumer.streams >= self._max_streams:
            raise Refused(
                Refusal.RESOURCE_EXHAUSTED,
                "TOO_MANY_STREAMS",
                f"consumer {name!r} has {self._max_streams} streams open already",
            )
        consumer.streams += 1
        try:
            async with consumer.streaming:
                consumer.delivered = consumer.scanned = consumer.row.acknowledged
                async with aclosing(self._hub.follow(consumer.row.acknowledged, require)) as pages:
                    async for page in pages:
                        events = [event for event in page if wanted(event)]
                        if events:
                            consumer.delivered = events[-1].sequence
                            consumer.sent = max(consumer.sent, consumer.delivered)
                        consumer.scanned = page[-1].sequence
                        if events:
                            yield events
        finally:
            consumer.streams -= 1

    async def acknowledge(self, name: str, sequence: int, tenants: Tenants = None) -> None:
        """Everything up to `sequence` has been dealt with. Raises Refused."""
        await self._complete(self._acknowledge(name, sequence, tenants))

    async def _acknowledge(self, name: str, sequence: int, tenants: Tenants) -> None:
        consumer = self._find(name)
        if consumer.tenants != tenants:
            raise _not_found(name)
        async with consumer.acknowledging:
            self._find(name)  # it may have been removed while this waited
            if sequence in (consumer.row.acknowledged, consumer.confirmed):
                return
            if sequence < consumer.row.acknowledged:
                raise Refused(
                    Refusal.OUT_OF_RANGE,
                    "ACK_BEHIND",
                    f"consumer {name!r} has acknowledged up to {consumer.row.acknowledged} already",
                )
            if sequence > consumer.sent:
                raise Refused(
                    Refusal.OUT_OF_RANGE,
                    "ACK_BEYOND_SENT",
                    f"consumer {name!r} was sent events up to {consumer.sent} only",
                )
            row = consumer.row._replace(acknowledged=sequence, acknowledged_at=self._clock.now())
            await self._store(consumer, row)
            consumer.confirmed = sequence

    async def remove(self, name: str, by: Caller = TRUSTED) -> None:
        """Forgets a consumer and its claim on events. Raises Refused, also while it has a stream open."""
        await self._complete(self._remove(name, by))

    async def _remove(self, name: str, by: Caller) -> None:
        async with self._creating:
            consumer = self._find(name)
            if not by.covers(consumer.tenants):
                raise _not_found(name)
            if consumer.streams:
                raise Refused(
                    Refusal.FAILED_PRECONDITION,
                    "CONSUMER_IN_USE",
                    f"consumer {name!r} has {consumer.streams} stream(s) open; stop it first",
                )
            async with consumer.acknowledging:
                await self._engine.write(lambda work: work.rows.forget_consumer(name))
                del self._consumers[name]

    def forget_events(self, up_to: int) -> None:
        """Says that the events up to a sequence have been removed: they are not to be delivered any more."""
        self._hub.trim(up_to)

    async def store_progress(self) -> None:
        """Makes durable how far consumers with a filter have come. Raises Refused."""
        for consumer in list(self._consumers.values()):
            async with consumer.acknowledging:
                if consumer.acknowledged > consumer.row.acknowledged:
                    await self._store(consumer, consumer.row._replace(acknowledged=consumer.acknowledged))

    def _find(self, name: str) -> _Consumer:
        consumer = self._consumers.get(name)
        if consumer is None:
            raise _not_found(name)
        return consumer

    async def _ensure(self, name: str, after: int | None, tenants: Tenants) -> _Consumer:
        async with self._creating:
            consumer = self._consumers.get(name)
            if consumer is None:
                own = sum(other.tenants == tenants for other in self._consumers.values())
                most = MAX_CONSUMERS if tenants is None else MAX_CONSUMERS_OF_TENANTS
                if own >= most or len(self._consumers) >= MAX_CONSUMERS:
                    raise Refused(
                        Refusal.RESOURCE_EXHAUSTED,
                        "TOO_MANY_CONSUMERS",
                        f"there are {MAX_CONSUMERS} consumers already, or {most} of yours; remove some",
                    )
                row = ConsumerRow(name, after or 0, self._clock.now(), None, encode_tenants(tenants))
                consumer = _Consumer(row, after or 0)
                await self._store(consumer, consumer.row)
                self._consumers[name] = consumer
            return consumer

    async def _store(self, consumer: _Consumer, row: ConsumerRow) -> None:
        await self._engine.write(lambda work: work.rows.consumers.append(row))
        consumer.row = row


def _not_found(name: str) -> Refused:
    text = f"no consumer {name!r}; it must watch first"
    return Refused(Refusal.NOT_FOUND, "CONSUMER_NOT_FOUND", text, field="consumer")
