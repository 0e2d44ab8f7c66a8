"""How far behind the consumers of events are, for those who watch over them (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from slad.core.metrics import MS_PER_SECOND, Metric, MetricKind, Sample
from slad.delivery.consumers import Consumers
from slad.delivery.hub import EventHub

LAG = Metric("slad_consumer_lag_events", MetricKind.GAUGE, "Events not yet acknowledged.", ("consumer",))
LAG_TIME = Metric(
    "slad_consumer_lag_seconds",
    MetricKind.GAUGE,
    "Age of the oldest event not yet acknowledged; 0 if there is none.",
    ("consumer",),
)
STREAMS = Metric(
    "slad_consumer_streams",
    MetricKind.GAUGE,
    "Open streams: one is live, the others stand by.",
    ("consumer",),
)


class DeliveryMetrics:
    """All consumers as a `MetricSource`."""

    metrics: Final = (LAG, LAG_TIME, STREAMS)

    def __init__(self, consumers: Consumers, hub: EventHub, now: Callable[[], int]) -> None:
        self._consumers = consumers
        self._hub = hub
        self._now = now

    async def samples(self) -> Iterable[Sample]:
        """The values now. Of each consumer that is behind, one event is looked up."""
        found = []
        for row, acknowledged, streams in self._consumers.rows():
            name, since = row.name, await self._consumers.behind_since(acknowledged)
            behind_ms = 0 if since is None else max(0, self._now() - since)
            found += [
                Sample(LAG, self._hub.owed(acknowledged), (name,)),
                Sample(LAG_TIME, behind_ms / MS_PER_SECOND, (name,)),
                Sample(STREAMS, streams, (name,)),
            ]
        return found
