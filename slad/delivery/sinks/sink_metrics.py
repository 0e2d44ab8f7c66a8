"""How the sinks stand, for those who watch over them (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from slad.core.metrics import MS_PER_SECOND, Metric, MetricKind, Sample
from slad.delivery.sinks.circuit import SinkState
from slad.delivery.sinks.sinks import Sinks

READY = Metric("slad_sink_ready", MetricKind.GAUGE, "1: the last attempt succeeded; 0: it failed.", ("sink",))
DELIVERED = Metric(
    "slad_sink_delivered_total", MetricKind.COUNTER, "Events that the target has accepted.", ("sink",)
)
FAILURES = Metric("slad_sink_failures_total", MetricKind.COUNTER, "Attempts that failed.", ("sink",))
PARKED = Metric(
    "slad_sink_parked_events", MetricKind.GAUGE, "Events set aside until they are replayed.", ("sink",)
)
LAST_DELIVERY = Metric(
    "slad_sink_last_delivery_timestamp_seconds",
    MetricKind.GAUGE,
    "When an event was last accepted, by slad's clock.",
    ("sink",),
)


class SinkMetrics:
    """All sinks as a `MetricSource`. How far behind they are is told of their consumers."""

    metrics: Final = (READY, DELIVERED, FAILURES, PARKED, LAST_DELIVERY)

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks

    async def samples(self) -> Iterable[Sample]:
        """The values now."""
        found = []
        for name, state, parked, tally in self._sinks.standings():
            found += [
                Sample(READY, int(state is SinkState.READY), (name,)),
                Sample(DELIVERED, tally.delivered, (name,)),
                Sample(FAILURES, tally.failures, (name,)),
                Sample(PARKED, parked, (name,)),
            ]
            if tally.last_delivered_at is not None:
                found.append(Sample(LAST_DELIVERY, tally.last_delivered_at / MS_PER_SECOND, (name,)))
        return found
