"""The cycles that are overdue (docs/metrics.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Final

from slad.core.metrics import Metric, MetricKind, Sample
from slad.engine.overdue import OverdueCycles
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource

OVERDUE = Metric(
    "slad_cycles_overdue",
    MetricKind.GAUGE,
    "Open cycles past 100 %; absent until the open tickets have been looked through once.",
)

PAUSE_S: Final = 0.01
"""The rest between two pages, so that other queries are not held up."""

PATIENCE_S: Final = 0.2
"""How long a scrape waits for the first look: enough for some thousand open tickets."""


class OverdueMetrics:
    """The overdue cycles as a `MetricSource`."""

    metrics: Final = (OVERDUE,)

    def __init__(self, cycles: OverdueCycles, queries: QueryThread, clock: TimeSource) -> None:
        self._cycles = cycles
        self._queries = queries
        self._clock = clock
        self._search: asyncio.Task[None] | None = None

    async def samples(self) -> Iterable[Sample]:
        """The value now, once it is known."""
        if self._cycles.total is None:
            if self._search is None or self._search.done():
                self._search = asyncio.create_task(self._look_through(), name="slad-overdue")
            await asyncio.wait({self._search}, timeout=PATIENCE_S)
            if self._search.done():
                self._search.result()
        total = self._cycles.total
        return [] if total is None else [Sample(OVERDUE, total)]

    async def _look_through(self) -> None:
        after: int | None = 0
        while after is not None:
            found, after = await self._queries.run(partial(_page, after, self._clock.now()))
            self._cycles.found(found)
            await asyncio.sleep(PAUSE_S)
        self._cycles.complete()


def _page(after_key: int, now: int, queries: Queries) -> tuple[dict[int, int], int | None]:
    return queries.attainment.overdue(after_key, now)
