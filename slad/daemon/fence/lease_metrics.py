"""Whether this slad may serve, for metrics (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from slad.core.metrics import Metric, MetricKind, Sample
from slad.daemon.fence.lease import Lease

EPOCH = Metric(
    "slad_epoch", MetricKind.GAUGE, "The epoch of the database that this slad serves, with a fence."
)
MAY_SERVE = Metric("slad_may_serve", MetricKind.GAUGE, "With a fence: 1; 0 while the lease is not held.")


class LeaseMetrics:
    """A lease, if there is one, as a `MetricSource`."""

    metrics: Final = (EPOCH, MAY_SERVE)

    def __init__(self, lease: Lease | None) -> None:
        self._lease = lease

    async def samples(self) -> Iterable[Sample]:
        """The values now."""
        if self._lease is None:
            return []
        return [Sample(EPOCH, self._lease.epoch), Sample(MAY_SERVE, int(self._lease.is_good))]
