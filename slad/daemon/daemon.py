"""One daemon: every floor put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable

from google.protobuf.descriptor import ServiceDescriptor

from slad import __version__
from slad.core.instants import format_instant
from slad.daemon import systemd
from slad.daemon.certificates import Certificates
from slad.daemon.pass_through import RunningPassThrough, open_pass_through
from slad.daemon.settings import STOP_GRACE_S, Settings
from slad.daemon.sight import Sight
from slad.daemon.sockets import PRIVATE_MODE, control_address, is_local, listen
from slad.delivery.consumers import Consumers
from slad.delivery.delivery_metrics import DeliveryMetrics
from slad.delivery.hub import EventHub
from slad.delivery.retention import Retention
from slad.delivery.sinks.sink_metrics import SinkMetrics
from slad.delivery.sinks.sinks import Sinks
from slad.engines.directory import Directory
from slad.engines.engine_measures import EngineMetrics
from slad.engines.local import LocalEngine
from slad.engines.measures import MetricSource
from slad.engines.queries import LoopQueries, Queries, QueryThread
from slad.engines.routing import Routing
from slad.engines.storage_metrics import StorageMetrics
from slad.engines.temporal_metrics import TemporalMetrics
from slad.engines.time_source import TimeSource, VirtualClock, WallClock
from slad.service.access import Gate
from slad.service.admin import SlaAdmin
from slad.service.backend import SlaBackend
from slad.service.bulk import Bulk
from slad.service.calls import CallLog, CallMeters
from slad.service.channelz import CHANNELZ, Channelz
from slad.service.debug import Insides, SlaDebug
from slad.service.limits import put_in_force
from slad.service.pass_through import SlaPassThrough
from slad.service.server import (
    SLA_ADMIN,
    SLA_BACKEND,
    SLA_DEBUG,
    SLA_PASS_THROUGH,
    SLA_TOKENS,
    SLA_WORKER,
    TEST_CLOCK,
    SladServer,
)
from slad.service.test_clock import TestClock
from slad.service.token_admin import SlaTokens
from slad.service.tokens import Tokens
from slad.service.worker import SlaWorker
from slad.storage.database import DAMAGE, DataDirectory, StorageError
from slad.storage.journal import Journal, TokenRow
from slad.storage.store import Store
from slad.storage.temporal import TemporalStore

log = logging.getLogger(__name__)


class Daemon:
    """slad as one process runs it.

    Raises DatabaseError, AddressError, CertificateError when it cannot start; DatabaseError also when the
    database turns out to be damaged while it runs.
    """

    def __init__(self, settings: Settings, clock: TimeSource | None = None) -> None:
        self._settings = settings
        self.clock = clock or _clock(settings)
        self.complaint = ""
        """What is wrong with the last reload."""
        self.addresses: list[str] = []
        """Where it listens, ports chosen."""
        self.sight = Sight(settings)
        self._stop = asyncio.Event()
        self._damage: Exception | None = None
        self._certificates: Certificates | None = None
        self._reload: Callable[[], None] = lambda: None
        self._standing: Callable[[], str] = lambda: "starting"

    def request_stop(self) -> None:
        """Lets `run` end cleanly."""
        self._stop.set()

    def reload(self, settings: Settings) -> None:
        """Takes over what can change while it runs: certificates, tokens, the log level.

        Raises CertificateError; then nothing has changed.
        """
        if self._certificates is not None:
            self._certificates.reload(settings.tls)
        self._reload()
        logging.getLogger().setLevel(settings.log.level.upper())

    def status(self) -> str:
        """How it stands, in a line for an operator."""
        standing = f"{self._standing()}; listening on {' '.join(self.addresses)}"
        return f"{self.complaint}; {standing}" if self.complaint else standing

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serves until `request_stop`. `ready` is called when the due timers are loaded and callers heard."""
        tls = self._settings.tls
        if tls.cert is not None:
            self._certificates = Certificates(tls)
        directory = DataDirectory(self._settings.data)
        try:
            put_in_force(self._settings.limits.requests)
            with directory.explaining_damage():
                await self._run(directory, ready)
        finally:
            directory.close()

    async def _run(self, data: DataDirectory, ready: Callable[[], None]) -> None:
        writer = data.writer()
        journal, store = Journal(writer), Store(data.reader())
        slow_queries = QueryThread(Store(data.reader()))
        directory = Directory(store)
        limits = self._settings.limits
        hub = EventHub(journal.counters().sequence, slow_queries.events_after, store.sequence_gap())
        engine = LocalEngine(
            journal,
            Store(writer),
            directory,
            self.clock,
            hub.publish,
            Routing(self._settings.temporal.routing, TemporalStore(writer)),
            max_waiting=limits.waiting_commands,
        )
        pass_through = await open_pass_through(
            self._settings.temporal, engine, store, TemporalStore(data.reader()), self.clock
        )
        consumers = Consumers(store.consumers(), engine, hub, self.clock, limits.consumer_streams)
        sinks = Sinks(self._settings.sinks, consumers, hub, engine, slow_queries, directory, self.clock)
        queries = Queries(store, directory)
        status_store = Store(data.reader())
        bulk = Bulk(engine, lambda: Store(data.reader()), self.clock)
        tokens = self._tokens(store, engine)
        meters = CallMeters()
        backend = SlaBackend(
            engine,
            LoopQueries(status_store, directory),
            slow_queries,
            hub,
            consumers,
            bulk,
            directory,
            self.clock,
            meters,
            limits.watches,
        )
        services: dict[ServiceDescriptor, object] = {
            SLA_BACKEND: backend,
            SLA_ADMIN: SlaAdmin(consumers, slow_queries, sinks),
            SLA_DEBUG: SlaDebug(Insides(engine, hub, consumers, slow_queries, data, self.clock, meters)),
            SLA_TOKENS: SlaTokens(tokens),
            SLA_WORKER: SlaWorker(engine),
            SLA_PASS_THROUGH: SlaPassThrough(pass_through.control, slow_queries),
            CHANNELZ: Channelz(),
        }
        retention = Retention(self._settings.retention, engine, slow_queries, consumers, self.clock)
        if self.clock.is_virtual:
            services[TEST_CLOCK] = TestClock(pass_through.control or engine, self.clock)
        gate = Gate(tokens, queries.tenant_of, is_exposed=self._is_exposed())
        log_of_calls = CallLog(self._settings.log.slow_calls_ms)
        server = SladServer(
            services, gate, self._notice, meters, log_of_calls, self.sight.tracing, limits.message_bytes
        )
        self._attend(engine, server)
        sources: list[MetricSource] = [
            meters,
            EngineMetrics(engine, self.clock.now),
            DeliveryMetrics(consumers, hub, self.clock.now),
            SinkMetrics(sinks),
            TemporalMetrics(engine.routing if pass_through.control else None, slow_queries, self.clock.now),
            StorageMetrics(data, slow_queries),
        ]
        try:
            self._listen(server, data)
            self.sight.serve_metrics(sources)
            engine.prepare()
            pump = asyncio.create_task(engine.run(), name="slad-engine")
            sweeper = asyncio.create_task(self._sweep(retention), name="slad-retention")
            await sinks.start()
            pass_through.start()
            await server.start()
            self._announce(engine)
            ready()
            await self._stop_is_near(pump)
            sweeper.cancel()
            await _end(hub, sinks, server, pass_through, engine)
            await pump
            if self._damage is not None:
                raise self._damage
            log.info("stopped")
        finally:
            await self.sight.stop()
            slow_queries.close()
            status_store.close()
            store.close()
            journal.close()

    def _attend(self, engine: LocalEngine, server: SladServer) -> None:
        """Lets health, systemd and traces hear of the engine."""
        engine.on_writable = server.set_writable
        engine.observer = self.sight.tracing
        self._standing = lambda: _standing(engine)
        engine.on_turn = systemd.Pulse(self.status).beat

    async def _stop_is_near(self, pump: asyncio.Task[None]) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        # The engine ends by itself only when it cannot go on; then neither can the daemon.
        await asyncio.wait({pump, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    def _listen(self, server: SladServer, data: DataDirectory) -> None:
        credentials = self._certificates.credentials if self._certificates else None
        self.addresses = [listen(server, address, credentials) for address in self._settings.listen]
        listen(server, control_address(data.path), mode=PRIVATE_MODE)

    def _tokens(self, store: Store, engine: LocalEngine) -> Tokens:
        async def save(row: TokenRow) -> None:
            await engine.write(lambda work: work.put_token(row))

        tokens = Tokens(store.tokens(), save, self.clock.now)
        self._reload = lambda: tokens.load(store.tokens())
        return tokens

    def _is_exposed(self) -> bool:
        """Whether strangers can reach it without a certificate of their own."""
        return self._settings.tls.client_ca is None and not all(map(is_local, self._settings.listen))

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
        if self.clock.is_virtual:
            log.info("virtual clock at %s", format_instant(self.clock.now()))
        log.info(
            "slad %s is ready",
            __version__,
            extra={"sequence": engine.sequence, "timers_in_memory": engine.timers_in_memory},
        )


async def serve(settings: Settings, read_again: Callable[[], Settings] | None = None) -> None:
    """Runs a daemon until SIGTERM or SIGINT; SIGHUP lets it take over what `read_again` then finds."""
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.request_stop)
    if read_again is not None:
        loop.add_signal_handler(signal.SIGHUP, _reload, daemon, read_again)
    await daemon.run(lambda: systemd.notify("READY=1", f"STATUS={daemon.status()}"))


def _reload(daemon: Daemon, read_again: Callable[[], Settings]) -> None:
    systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")
    try:
        daemon.reload(read_again())
    except (ValueError, StorageError) as error:
        log.error("reload failed, everything is as it was: %s", error)  # noqa: TRY400 - no bug, no traceback
        daemon.complaint = f"reload failed: {error}"
    else:
        log.info("reloaded")
        daemon.complaint = ""
    systemd.notify("READY=1", f"STATUS={daemon.status()}")


def _standing(engine: LocalEngine) -> str:
    if engine.trouble is not None:
        return f"cannot write: {engine.trouble}"
    return f"serving; {engine.timers_in_memory} timers due soon, last event {engine.sequence}"


async def _end(
    hub: EventHub,
    sinks: Sinks,
    server: SladServer,
    pass_through: RunningPassThrough,
    engine: LocalEngine,
) -> None:
    """From the outside in: who still reads or calls needs what is further in."""
    systemd.notify("STOPPING=1")
    hub.close()
    await sinks.stop()
    await server.stop(STOP_GRACE_S)
    await pass_through.stop()
    engine.stop()


def _clock(settings: Settings) -> TimeSource:
    if settings.virtual_clock is None:
        return WallClock()
    return VirtualClock(settings.virtual_clock)
