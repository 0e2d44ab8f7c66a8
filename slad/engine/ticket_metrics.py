"""How many tickets are open, and how they stand (docs/metrics.md)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from slad.core.metrics import Metric, MetricKind, Sample
from slad.core.status import TimerStatus
from slad.engine.census import Census
from slad.engine.query_thread import QueryThread
from slad.storage.store import Store

OPEN = Metric(
    "slad_open_tickets",
    MetricKind.GAUGE,
    "Tickets neither completed nor cancelled; armed: with a threshold to come, none: without.",
    ("timer",),
)
BY_STATUS = Metric(
    "slad_tickets_by_status",
    MetricKind.GAUGE,
    "Tickets neither completed nor cancelled, by status; absent until they have been counted once.",
    ("status",),
)

COUNTED_EVERY_S: Final = 60.0
"""Counting reads an index of all tickets, which takes some 50 ms for a million of them. Statuses, too, are
counted no more often."""

PATIENCE_S: Final = 0.2
"""How long a scrape waits for a count of statuses. Some hundred tickets take no longer."""


class TicketMetrics:
    """The open tickets as a `MetricSource`."""

    metrics: Final = (OPEN, BY_STATUS)

    def __init__(self, queries: QueryThread, census: Census) -> None:
        self._queries = queries
        self._census = census
        self._counted = (0, 0)
        self._stale_at_s = 0.0

    async def samples(self) -> Iterable[Sample]:
        """The numbers as they were when they were last counted: a minute ago, statuses of many longer."""
        if time.monotonic() >= self._stale_at_s:
            self._counted = await self._queries.read(Store.open_tickets)
            self._stale_at_s = time.monotonic() + COUNTED_EVERY_S
        total, armed = self._counted
        found = [Sample(OPEN, armed, ("armed",)), Sample(OPEN, total - armed, ("none",))]
        tally = await self._census.tally(PATIENCE_S)
        if tally.is_done:
            found += [
                Sample(BY_STATUS, tally.counts.get(status, 0), (status.name,)) for status in TimerStatus
            ]
        return found
