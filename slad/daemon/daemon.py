"""One daemon: every floor put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from google.protobuf.descriptor import ServiceDescriptor

from slad import __version__
from slad.core.instants import format_instant
from slad.daemon import systemd
from slad.daemon.settings import STOP_GRACE_S, Settings
from slad.daemon.sockets import is_local, listen
from slad.delivery.consumers import Consumers
from slad.delivery.delivery_metrics import DeliveryMetrics
from slad.delivery.hub import EventHub
from slad.delivery.retention import Retention
from slad.engines.directory import Directory
from slad.engines.engine_measures import EngineMetrics
from slad.engines.local import LocalEngine
from slad.engines.measures import MetricSource
from slad.engines.queries import Queries, QueryThread
from slad.engines.storage_metrics import StorageMetrics
from slad.engines.time_source import TimeSource, VirtualClock, WallClock
from slad.service.admin import SlaAdmin
from slad.service.backend import SlaBackend
from slad.service.bulk import Bulk
from slad.service.calls import CallLog, CallMeters
from slad.service.channelz import CHANNELZ, Channelz
from slad.service.debug import Insides, SlaDebug
from slad.service.server import SLA_ADMIN, SLA_BACKEND, SLA_DEBUG, SLA_WORKER, TEST_CLOCK, SladServer
from slad.service.test_clock import TestClock
from slad.service.worker import SlaWorker
from slad.storage.database import DAMAGE, DataDirectory, StorageError
from slad.storage.journal import Journal
from slad.storage.store import Store

if TYPE_CHECKING:
    from slad.daemon.metrics_server import MetricsServer

log = logging.getLogger(__name__)


class Daemon:
    """slad as one process runs it.

    Raises DatabaseError, AddressError when it cannot start; DatabaseError also when the database turns out to
    be damaged while it runs.
    """

    def __init__(self, settings: Settings, clock: TimeSource | None = None) -> None:
        self._settings = settings
        self.clock = clock or _clock(settings)
        self.addresses: list[str] = []
        """Where it listens, ports chosen."""
        self.metrics_address: str | None = None
        """Where its metrics are, as `host:port`."""
        self._stop = asyncio.Event()
        self._damage: Exception | None = None

    def request_stop(self) -> None:
        """Lets `run` end cleanly."""
        self._stop.set()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serves until `request_stop`. `ready` is called when the due timers are loaded and callers heard."""
        directory = DataDirectory(self._settings.data)
        try:
            with directory.explaining_damage():
                await self._run(directory, ready)
        finally:
            directory.close()

    async def _run(self, data: DataDirectory, ready: Callable[[], None]) -> None:
        writer = data.writer()
        journal, store = Journal(writer), Store(data.reader())
        slow_queries = QueryThread(Store(data.reader()))
        directory = Directory(store)
        hub = EventHub(journal.counters().sequence, slow_queries.events_after, store.sequence_gap())
        engine = LocalEngine(journal, Store(writer), directory, self.clock, hub.publish)
        consumers = Consumers(store.consumers(), engine, hub, self.clock)
        queries = Queries(store, directory)
        bulk = Bulk(engine, lambda: Store(data.reader()), self.clock)
        meters = CallMeters()
        backend = SlaBackend(
            engine, queries, slow_queries, hub, consumers, bulk, directory, self.clock, meters
        )
        services: dict[ServiceDescriptor, object] = {
            SLA_BACKEND: backend,
            SLA_ADMIN: SlaAdmin(consumers, slow_queries),
            SLA_DEBUG: SlaDebug(Insides(engine, hub, consumers, slow_queries, data, self.clock, meters)),
            SLA_WORKER: SlaWorker(engine),
            CHANNELZ: Channelz(),
        }
        retention = Retention(self._settings.retention, engine, slow_queries, consumers, self.clock)
        if self.clock.is_virtual:
            services[TEST_CLOCK] = TestClock(engine, self.clock)
        server = SladServer(services, self._notice, meters, CallLog(self._settings.log.slow_calls_ms))
        engine.on_writable = server.set_writable
        sources: list[MetricSource] = [
            meters,
            EngineMetrics(engine, self.clock.now),
            DeliveryMetrics(consumers, hub, self.clock.now),
            StorageMetrics(data, slow_queries),
        ]
        metrics = None
        try:
            self.addresses = [listen(server, address) for address in self._settings.listen]
            metrics = self._serve_metrics(sources)
            engine.prepare()
            pump = asyncio.create_task(engine.run(), name="slad-engine")
            sweeper = asyncio.create_task(self._sweep(retention), name="slad-retention")
            await server.start()
            self._announce(engine)
            ready()
            stopping = asyncio.create_task(self._stop.wait())
            # The engine ends by itself only when it cannot go on; then neither can the daemon.
            await asyncio.wait({pump, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            sweeper.cancel()
            systemd.notify("STOPPING=1")
            hub.close()
            await server.stop(STOP_GRACE_S)
            engine.stop()
            await pump
            if self._damage is not None:
                raise self._damage
            log.info("stopped")
        finally:
            if metrics is not None:
                await metrics.stop()
            slow_queries.close()
            store.close()
            journal.close()

    def _serve_metrics(self, sources: Sequence[MetricSource]) -> MetricsServer | None:
        address = self._settings.metrics.listen
        if address is None:
            return None
        # Only now, as it takes a while and most of it is HTTP.
        from slad.daemon.metrics_server import MetricsServer  # noqa: PLC0415
        from slad.service.metrics import MetricsCollector  # noqa: PLC0415

        collector = MetricsCollector(sources, asyncio.get_running_loop())
        server = MetricsServer(collector.registry(), address)
        self.metrics_address = server.address
        log.info("metrics at http://%s/metrics", server.address)
        if not is_local(server.address):
            log.warning("metrics at %s can be read from other machines", server.address)
        return server

    async def _sweep(self, retention: Retention) -> None:
        while True:
            try:
                await retention.run()
            except StorageError as error:
                log.warning("nothing was removed this time: %s", error)
                self._notice(error)

    def _notice(self, error: Exception) -> None:
        """Ends the daemon when an error says that the file is damaged: no half life on what is left of it."""
        if isinstance(error, DAMAGE):
            self._damage = error
            self.request_stop()

    def _announce(self, engine: LocalEngine) -> None:
        for address in self.addresses:
            log.info("listening on %s", address)
            if not is_local(address):
                log.warning("%s can be reached from other machines, without authentication", address)
        if self.clock.is_virtual:
            log.info("virtual clock at %s", format_instant(self.clock.now()))
        log.info(
            "slad %s is ready",
            __version__,
            extra={"sequence": engine.sequence, "timers_in_memory": engine.timers_in_memory},
        )


async def serve(settings: Settings) -> None:
    """Runs a daemon until SIGTERM or SIGINT."""
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.request_stop)
    await daemon.run(lambda: systemd.notify("READY=1", f"STATUS=serving {' '.join(daemon.addresses)}"))


def _clock(settings: Settings) -> TimeSource:
    if settings.virtual_clock is None:
        return WallClock()
    return VirtualClock(settings.virtual_clock)
