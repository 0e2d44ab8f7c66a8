"""How many tickets are open (docs/metrics.md)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from slad.core.metrics import Metric, MetricKind, Sample
from slad.engine.query_thread import QueryThread

OPEN = Metric(
    "slad_open_tickets",
    MetricKind.GAUGE,
    "Tickets neither completed nor cancelled; armed: with a threshold to come, none: without.",
    ("timer",),
)

COUNTED_EVERY_S: Final = 60.0
"""Counting reads an index of all tickets, which takes some 50 ms for a million of them."""


class TicketMetrics:
    """The open tickets as a `MetricSource`."""

    metrics: Final = (OPEN,)

    def __init__(self, queries: QueryThread) -> None:
        self._queries = queries
        self._counted = (0, 0)
        self._stale_at_s = 0.0

    async def samples(self) -> Iterable[Sample]:
        """The values now, or a minute ago."""
        if time.monotonic() >= self._stale_at_s:
            self._counted = await self._queries.open_tickets()
            self._stale_at_s = time.monotonic() + COUNTED_EVERY_S
        total, armed = self._counted
        return [Sample(OPEN, armed, ("armed",)), Sample(OPEN, total - armed, ("none",))]
