"""How many live tickets are in each status (T1).

A status is derived ticket by ticket. So tickets are counted in the background, a slice at a time, and only
while somebody asks.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, NamedTuple

from slad.core.access import Tenants
from slad.core.status import TimerStatus
from slad.engine.overview import Place
from slad.engine.query_thread import QueryThread

SLICE: Final = 64
"""Tickets that are looked at without a rest: one to two ms."""

REST_S: Final = 0.02
"""The rest after each slice: nine tenths of the time are left for other work."""

SELDOM: Final = 10
"""The time from one count to the next, as a multiple of how long the last count took."""


class Tally(NamedTuple):
    """A count, finished or under way."""

    counts: Mapping[TimerStatus, int]
    is_whole: bool
    """Every live ticket is in it."""
    is_done: bool


class Census:
    """Counts the live tickets of some tenants, or of all, again and again. For the event loop's thread.

    Only the first `most` tickets are counted. Two counts begin at least `every_s` apart.
    """

    def __init__(
        self,
        queries: QueryThread,
        tenants: Tenants,
        now: Callable[[], int],
        *,
        most: float = math.inf,
        every_s: float = 0.0,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._queries = queries
        self._tenants = tenants
        self._now = now
        self._most = most
        self._every_s = every_s
        self._timer = timer
        self._counting: asyncio.Task[None] | None = None
        self._next_at = -math.inf
        self._tally = Tally({}, is_whole=False, is_done=False)

    async def tally(self, patience_s: float) -> Tally:
        """The last count or, before there is one, the part of it that is done.

        Begins a new count when it is time, and waits for it at most `patience_s`. Raises what the count under
        way raised.
        """
        if self._counting is None and self._timer() >= self._next_at:
            self._counting = asyncio.create_task(self._count(), name="slad-census")
        counting = self._counting
        if counting is not None:
            await asyncio.wait({counting}, timeout=patience_s)
            if counting is self._counting and counting.done():
                self._counting = None
                counting.result()
        return self._tally

    def stop(self) -> None:
        """Ends a count under way; none begins any more."""
        self._next_at = math.inf
        if self._counting is not None:
            self._counting.cancel()
            self._counting = None

    async def _count(self) -> None:
        counts: Counter[TimerStatus] = Counter()
        place: Place | None = (0, 0)
        begun = self._timer()
        try:
            while place is not None and counts.total() < self._most:
                found, place = await self._slice(place)
                counts.update(found)
                if not self._tally.is_done:
                    self._tally = Tally(dict(counts), is_whole=False, is_done=False)
                if place is not None:
                    await asyncio.sleep(REST_S)
            self._tally = Tally(dict(counts), is_whole=place is None, is_done=True)
        finally:
            ended = self._timer()
            self._next_at = max(self._next_at, begun + self._every_s, ended + SELDOM * (ended - begun))

    async def _slice(self, place: Place) -> tuple[list[TimerStatus], Place | None]:
        now = self._now()
        return await self._queries.run(
            lambda queries: queries.overview.live_statuses(self._tenants, place, SLICE, now)
        )
