"""What slad counts, as Prometheus reads it.

The numbers are kept as plain data (see `slad.core.metrics`); here they are made into Prometheus' families
when somebody scrapes, and only then.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import accumulate
from typing import Any, Final

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from slad import __version__
from slad.core.metrics import Histogram, Metric, MetricKind, MetricSource, Sample
from slad.storage.database import SQLITE_VERSION

log = logging.getLogger(__name__)

SCRAPE_TIMEOUT_S: Final = 8.0
"""How long a scrape waits for the event loop and the disk; Prometheus' own limit is 10 s."""

BUILD = Metric(
    "slad_build_info",
    MetricKind.GAUGE,
    "Always 1; its labels say what runs.",
    ("version", "python", "grpcio", "sqlite", "tzdata"),
)
SCRAPE_ERRORS = Metric(
    "slad_scrape_errors_total", MetricKind.COUNTER, "Parts of slad that gave no metrics in a scrape."
)

_FAMILIES: Final[dict[MetricKind, Any]] = {
    MetricKind.COUNTER: CounterMetricFamily,
    MetricKind.GAUGE: GaugeMetricFamily,
    MetricKind.HISTOGRAM: HistogramMetricFamily,
}


class MetricsCollector(Collector):
    """All sources as one Prometheus collector.

    `collect` is called by the threads that serve scrapes; it asks the sources on `loop`, so that they need no
    locks. A source that fails is left out, counted and logged.
    """

    def __init__(self, sources: Sequence[MetricSource], loop: asyncio.AbstractEventLoop) -> None:
        self._sources = sources
        self._loop = loop
        self._errors = 0
        # Found in files, so not for every scrape.
        self._build = (
            __version__, platform.python_version(), grpc.__version__, SQLITE_VERSION, version("tzdata"),
        )  # fmt: skip

    def registry(self) -> CollectorRegistry:
        """A registry with this collector and the figures of the process."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        return registry

    def describe(self) -> Iterable[Family]:
        """Nothing: names are checked by a test, and registering must not scrape."""
        return ()

    def collect(self) -> Iterable[Family]:
        """Every metric with its values now. Raises TimeoutError when the event loop does not answer."""
        asked = asyncio.run_coroutine_threadsafe(self._samples(), self._loop)
        try:
            samples = asked.result(SCRAPE_TIMEOUT_S)
        finally:
            asked.cancel()
        metrics = [BUILD, SCRAPE_ERRORS, *(metric for source in self._sources for metric in source.metrics)]
        families = {
            metric.name: _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            for metric in metrics
        }
        for sample in samples:
            _add(families[sample.metric.name], sample)
        return families.values()

    async def _samples(self) -> list[Sample]:
        found: list[Sample] = []
        for source in self._sources:
            try:
                found += await source.samples()
            except Exception:
                self._errors += 1
                log.exception("%s gave no metrics", type(source).__name__)
        return [Sample(BUILD, 1, self._build), Sample(SCRAPE_ERRORS, self._errors), *found]


def _add(family: Any, sample: Sample) -> None:
    value = sample.value
    if not isinstance(value, Histogram):
        family.add_metric(sample.labels, value)
        return
    ends = [*(str(bound / value.per_unit) for bound in value.bounds), "+Inf"]
    buckets = list(zip(ends, accumulate(value.counts), strict=True))
    family.add_metric(sample.labels, buckets, value.total / value.per_unit)
