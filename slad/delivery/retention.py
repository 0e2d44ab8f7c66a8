"""What is removed, and when: acknowledged events by age and number, answers and the ledger by age."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

from slad.config.settings import RetentionSettings
from slad.core.errors import Refused
from slad.delivery.consumers import Consumers
from slad.engine.engine import SlaEngine
from slad.engine.event_codec import recorded_at
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.storage.database import StorageError
from slad.storage.store import Store

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 60.0
SWEEP_SIZE: Final = 500
"""Rows that one transaction removes, so that commands do not wait long for it."""

SWEEP_ROUNDS: Final = 200
"""Transactions of one sweep; what is left waits for the next."""


class Retention:
    """Removes what is no longer needed.

    Contract
      - An event that a registered consumer has not acknowledged is never removed (E2), and the newest never.
      - Without consumers, events count as acknowledged.
      - It works in small transactions, through the same pump as commands.
    """

    def __init__(
        self,
        settings: RetentionSettings,
        engine: SlaEngine,
        queries: QueryThread,
        consumers: Consumers,
        clock: TimeSource,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._queries = queries
        self._consumers = consumers
        self._clock = clock

    async def run(self) -> None:
        """Sweeps from time to time, until cancelled. Raises StorageError when the database cannot be read."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except Refused as refused:
                log.warning("old events could not be removed; slad tries again later: %s", refused)
            except StorageError:
                raise
            except Exception:
                # It is not worth a daemon, and the next sweep may do better.
                log.exception("retention failed")

    async def sweep(self) -> int:
        """One sweep; the number of rows removed. Raises Refused when the engine cannot write."""
        await self._consumers.store_progress()
        excess = await self._excess()
        removed = 0
        for prune in (partial(self._prune_events, excess), self._prune_requests, self._prune_ledger):
            for _ in range(SWEEP_ROUNDS):
                count = await prune()
                removed += count
                if not count:
                    break
        return removed

    async def _excess(self) -> int:
        """The sequence up to which events are too many, 0 for none."""
        head, oldest = self._engine.sequence, await self._queries.read(Store.oldest_event)
        if oldest is None or head - oldest < self._settings.max_events:
            return 0
        # Sequences have gaps (after a restore a wide one), so it takes a count.
        return await self._queries.read(Store.nth_newest_event, self._settings.max_events) or 0

    async def _prune_events(self, excess: int) -> int:
        now = self._clock.now()
        acknowledged = min(self._consumers.acknowledged(), self._engine.sequence - 1)
        page = await self._queries.events_after(0, SWEEP_SIZE)
        gone = [
            event.sequence
            for event in page
            if event.sequence <= acknowledged
            and (event.sequence <= excess or now - recorded_at(event.body) > self._settings.events_ms)
        ]
        if gone:
            await self._engine.write(lambda work: work.rows.pruned_events.append((gone[-1],)))
            self._consumers.forget_events(gone[-1])
        return len(gone)

    async def _prune_requests(self) -> int:
        now = self._clock.now()
        page = await self._queries.read(Store.oldest_requests, SWEEP_SIZE)
        gone = [key for key, at in page if now - at > self._settings.requests_ms]
        if gone:
            await self._engine.write(lambda work: work.rows.pruned_requests.append((gone[-1],)))
        return len(gone)

    async def _prune_ledger(self) -> int:
        before = self._clock.now() - self._settings.ledger_ms
        gone = await self._queries.run(lambda queries: queries.attainment.old_rows(before, SWEEP_SIZE))
        if gone:
            await self._engine.write(lambda work: work.rows.pruned_ledger.extend((key,) for key in gone))
        return len(gone)
