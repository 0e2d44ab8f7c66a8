"""The vocabulary of what slad counts about itself: plain numbers, read when somebody asks.

Counting is an addition on the event loop and knows no metrics library; `slad.service.prometheus` makes
Prometheus' format of it when it is scraped. A part of slad that counts something offers a `MetricSource`,
which the daemon hands to the exporter. docs/metrics.md lists every name; a test compares the two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from slad.core.events import PHASES

NS_PER_SECOND: Final = 1_000_000_000
MS_PER_SECOND: Final = 1_000

OTHER: Final = "other"
"""What a clock is counted as that is not told apart."""


class ClockLabels:
    """How clocks are told apart in labels: callers choose their names, so only those that are listed are.

    Response and resolution always are; whatever else is OTHER.
    """

    def __init__(self, listed: Iterable[str] = ()) -> None:
        self.clocks: tuple[str, ...] = tuple(dict.fromkeys((*PHASES, *listed, OTHER)))
        """All of them."""

    def of(self, clock: str) -> str:
        """How a clock is counted."""
        return clock if clock in self.clocks else OTHER

    @staticmethod
    def labels(clock: str) -> tuple[str, str]:
        """The labels `phase` and `clock` of one of `clocks`."""
        return clock if clock in PHASES else OTHER, clock


TWO_CLOCKS: Final = ClockLabels()
"""Response and resolution alone."""


class Histogram:
    """How many values fell into each bucket, and their sum.

    `bounds` are the ascending upper ends of the buckets, inclusive; above the last there is one more. Values
    are whole numbers of some small unit, `per_unit` of which make one of the exposed unit: 10**9 for ns that
    are shown as seconds.
    """

    __slots__ = ("bounds", "counts", "per_unit", "total")

    def __init__(self, bounds: Sequence[int], per_unit: int = 1) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0
        self.per_unit = per_unit

    def observe(self, value: int) -> None:
        """Counts one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def bound_of(self, share: float) -> int | None:
        """The end of the bucket up to which `share` of the values lie, at most the last; None without any."""
        needed, below = self.count * share, 0
        if not needed:
            return None
        for bound, count in zip(self.bounds, self.counts, strict=False):
            below += count
            if below >= needed:
                return bound
        return self.bounds[-1]


def durations(*milliseconds: float) -> Histogram:
    """A histogram of durations that are observed in ns and exposed in seconds."""
    return Histogram([int(bound * 1_000_000) for bound in milliseconds], NS_PER_SECOND)


class MetricKind(StrEnum):
    """The kinds of metric, as Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """The description of a metric. `name` is the exposed one, of a counter with its `_total`."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """A metric's value now, for one combination of its labels' values."""

    metric: Metric
    value: float | Histogram
    labels: tuple[str, ...] = ()


class MetricSource(Protocol):
    """A part of slad that counts something."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """All metrics that `samples` may give; one without a sample is exposed with its name only."""
        ...

    async def samples(self) -> Iterable[Sample]:
        """The values now. Called on the event loop for every scrape, so it must be cheap there."""
        ...
