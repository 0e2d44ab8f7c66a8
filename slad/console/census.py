"""How many live tickets are in each status (T1).

A status is derived ticket by ticket, so it is counted beside, a little at a time, while somebody looks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, NamedTuple

from slad.core.access import Tenants
from slad.core.status import TimerStatus
from slad.engine.query_thread import QueryThread

SLICE: Final = 64
"""Tickets that are looked at without a pause: one to two ms."""

REST_S: Final = 0.02
"""After each slice, so that nine tenths of the time belong to others."""

MOST: Final = 50_000
"""Tickets that are counted; of more the first are."""

PATIENCE_S: Final = 1.0
"""How long a page waits for the first count."""

QUICK_S: Final = 0.05
"""How long it waits for a later one."""

SELDOM: Final = 20
"""So many times as long as a count took is the time to the next."""


class Tally(NamedTuple):
    """A count, finished or under way."""

    counts: Mapping[TimerStatus, int]
    is_whole: bool
    """Every live ticket is in it."""
    is_done: bool


class Census:
    """Counts the live tickets of some tenants, or of all, again and again. For the event loop's thread."""

    def __init__(self, queries: QueryThread, tenants: Tenants, now: Callable[[], int]) -> None:
        self._queries = queries
        self._tenants = tenants
        self._now = now
        self._counting: asyncio.Task[None] | None = None
        self._next_at = 0.0
        self._tally = Tally({}, is_whole=False, is_done=False)

    async def tally(self) -> Tally:
        """The last count. Begins another one when it is time for that."""
        is_first = not self._tally.is_done
        if self._counting is None and (is_first or monotonic() >= self._next_at):
            self._counting = asyncio.create_task(self._count(), name="slad-console-census")
        if self._counting is not None:
            await asyncio.wait({self._counting}, timeout=PATIENCE_S if is_first else QUICK_S)
        return self._tally

    def stop(self) -> None:
        """Stops counting."""
        if self._counting is not None:
            self._counting.cancel()

    async def _count(self) -> None:
        counts: Counter[TimerStatus] = Counter()
        place: tuple[int, int] | None = (0, 0)
        begun, now = monotonic(), self._now()
        try:
            while place is not None and counts.total() < MOST:
                found, place = await self._slice(place, now)
                counts.update(found)
                if not self._tally.is_done:
                    self._tally = Tally(dict(counts), is_whole=False, is_done=False)
                if place is not None:
                    await asyncio.sleep(REST_S)
            self._tally = Tally(dict(counts), is_whole=place is None, is_done=True)
        finally:
            self._next_at = monotonic() + SELDOM * (monotonic() - begun)
            self._counting = None

    async def _slice(
        self, place: tuple[int, int], now: int
    ) -> tuple[list[TimerStatus], tuple[int, int] | None]:
        return await self._queries.run(
            lambda queries: queries.overview.live_statuses(self._tenants, place, SLICE, now)
        )
