"""What lets others see how a daemon is: metrics over HTTP, and traces. Both are off unless they are set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slad.config.addresses import is_local
from slad.config.settings import Settings
from slad.core.metrics import MetricSource

if TYPE_CHECKING:
    from slad.daemon.metrics_server import MetricsServer
    from slad.service.tracing import Tracing

log = logging.getLogger(__name__)


class Observability:
    """The metrics server and the traces of one daemon. What is off is not even imported."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics: MetricsServer | None = None
        self.tracing: Tracing | None = None
        if settings.traces.endpoint is not None:
            from slad.service.tracing import Tracing  # noqa: PLC0415

            self.tracing = Tracing.to_collector(settings.traces.endpoint)
            log.info("traces go to %s", settings.traces.endpoint)

    @property
    def metrics_address(self) -> str | None:
        """Where metrics are, as `host:port`."""
        return self._metrics.address if self._metrics else None

    def serve_metrics(self, sources: Sequence[MetricSource]) -> None:
        """Serves what the sources tell. Raises AddressError."""
        if self._settings.metrics.listen is None:
            return
        from slad.daemon.metrics_server import MetricsServer  # noqa: PLC0415
        from slad.service.prometheus import MetricsCollector  # noqa: PLC0415

        collector = MetricsCollector(sources, asyncio.get_running_loop())
        self._metrics = MetricsServer(collector.registry(), self._settings.metrics.listen)
        address = self._metrics.address
        log.info("metrics at http://%s/metrics", address)
        if not is_local(address):
            log.warning("metrics at %s can be read from other machines", address)

    async def stop(self) -> None:
        """Stops serving, and sends what traces are left."""
        if self._metrics is not None:
            await self._metrics.stop()
        if self.tracing is not None:
            await self.tracing.stop()
