"""How things stand between slad and Temporal, for those who watch over them (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from slad.core.metrics import MS_PER_SECOND, Metric, MetricKind, Sample
from slad.engine.query_thread import QueryThread
from slad.storage.store import Store
from slad.temporal.passthrough.routing import Routing

REACHABLE = Metric(
    "slad_temporal_reachable", MetricKind.GAUGE, "1: Temporal answered when last asked; 0: not."
)
WAITING = Metric(
    "slad_temporal_outbox_messages", MetricKind.GAUGE, "Messages that Temporal has not accepted yet."
)
OLDEST = Metric(
    "slad_temporal_outbox_oldest_seconds",
    MetricKind.GAUGE,
    "How long the oldest of them has waited; 0 if there is none.",
)
CARRIED = Metric("slad_temporal_trackings", MetricKind.GAUGE, "Live trackings that Temporal carries.")
LATE = Metric(
    "slad_temporal_late_trackings",
    MetricKind.GAUGE,
    "Those of them with a threshold that is overdue beyond the grace period without a report.",
)
PARKED = Metric(
    "slad_temporal_parked_workflows", MetricKind.GAUGE, "Workflows that slad has set aside for an operator."
)
FALLBACKS = Metric(
    "slad_temporal_fallbacks_total",
    MetricKind.COUNTER,
    "Tickets that the local engine took because Temporal could not be reached.",
)


class TemporalMetrics:
    """The pass-through as a `MetricSource`; without one (`routing` is None) it has no samples."""

    metrics: Final = (REACHABLE, WAITING, OLDEST, CARRIED, LATE, PARKED, FALLBACKS)

    def __init__(self, routing: Routing | None, queries: QueryThread, now: Callable[[], int]) -> None:
        self._routing = routing
        self._queries = queries
        self._now = now

    async def samples(self) -> Iterable[Sample]:
        """The values now. They are counted, but not on the event loop."""
        routing = self._routing
        if routing is None:
            return ()
        now = self._now()

        def count(store: Store) -> tuple[tuple[int, int | None], int, int, int]:
            found = store.temporal()
            late = found.late(now - routing.settings.grace_ms)
            return found.waiting(), found.carried(), late, found.count_parked()

        (waiting, oldest_at), carried, late, parked = await self._queries.read(count)
        waited_ms = 0 if oldest_at is None else max(0, now - oldest_at)
        return [
            Sample(REACHABLE, int(routing.standing.is_reachable)),
            Sample(WAITING, waiting),
            Sample(OLDEST, waited_ms / MS_PER_SECOND),
            Sample(CARRIED, carried),
            Sample(LATE, late),
            Sample(PARKED, parked),
            Sample(FALLBACKS, routing.fallbacks),
        ]
