"""Durable consumers of the outbox: named cursors with stand-by streams (E2).

Contract
  - A consumer is created by its first watch and remembered with what it has acknowledged.
  - Its stream begins after the acknowledgement: delivery is at least once, in order.
  - One stream of a consumer is live. Others wait, in order of arrival, and take over from the
    acknowledgement when it ends.
  - An acknowledgement is durable when it is answered. It is cumulative, and never goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from slad.core.errors import InvalidField, Refusal, Refused
from slad.delivery.hub import EventHub, OutboxEvent
from slad.engines.local import LocalEngine
from slad.engines.time_source import TimeSource
from slad.storage.journal import ConsumerRow


class _Consumer:
    def __init__(self, row: ConsumerRow, sent: int) -> None:
        self.row = row
        self.sent = sent
        self.streaming = asyncio.Lock()
        self.acknowledging = asyncio.Lock()


class Consumers:
    """All consumers of this daemon. For the event loop's thread."""

    def __init__(
        self, rows: Sequence[ConsumerRow], engine: LocalEngine, hub: EventHub, clock: TimeSource
    ) -> None:
        self._engine = engine
        self._hub = hub
        self._clock = clock
        # What was sent before a restart is not known any more; it cannot be more than there was.
        self._consumers = {row.name: _Consumer(row, hub.head) for row in rows}
        self._creating = asyncio.Lock()

    def lag(self) -> dict[str, int]:
        """How many sequences each consumer is behind."""
        return {name: self._hub.head - c.row.acknowledged for name, c in self._consumers.items()}

    async def stream(self, name: str, after: int | None) -> AsyncGenerator[Sequence[OutboxEvent], None]:
        """The events of a consumer, when it is this stream's turn. Raises InvalidField, Refused."""
        consumer = await self._ensure(name, after)
        async with consumer.streaming, aclosing(self._hub.follow(consumer.row.acknowledged)) as pages:
            async for events in pages:
                consumer.sent = max(consumer.sent, events[-1].sequence)
                yield events

    async def acknowledge(self, name: str, sequence: int) -> None:
        """Everything up to `sequence` has been dealt with. Raises Refused."""
        consumer = self._consumers.get(name)
        if consumer is None:
            raise Refused(
                Refusal.NOT_FOUND, "CONSUMER_NOT_FOUND", f"no consumer {name!r}; it has to watch first"
            )
        async with consumer.acknowledging:
            acknowledged = consumer.row.acknowledged
            if sequence == acknowledged:
                return
            if sequence < acknowledged:
                raise Refused(
                    Refusal.OUT_OF_RANGE,
                    "ACK_BEHIND",
                    f"consumer {name!r} has acknowledged up to {acknowledged} already",
                )
            if sequence > consumer.sent:
                raise Refused(
                    Refusal.OUT_OF_RANGE,
                    "ACK_BEYOND_SENT",
                    f"consumer {name!r} was sent events up to {consumer.sent} only",
                )
            await self._store(
                consumer, consumer.row._replace(acknowledged=sequence, acknowledged_at=self._clock.now())
            )

    async def _ensure(self, name: str, after: int | None) -> _Consumer:
        async with self._creating:
            consumer = self._consumers.get(name)
            if consumer is None:
                if after is not None and after > self._hub.head:
                    raise InvalidField(
                        "after_sequence", "BEYOND_HEAD", f"the newest event is {self._hub.head}"
                    )
                consumer = _Consumer(ConsumerRow(name, after or 0, self._clock.now(), None), after or 0)
                await self._store(consumer, consumer.row)
                self._consumers[name] = consumer
            return consumer

    async def _store(self, consumer: _Consumer, row: ConsumerRow) -> None:
        await self._engine.write(lambda work: work.put_consumer(row))
        consumer.row = row
