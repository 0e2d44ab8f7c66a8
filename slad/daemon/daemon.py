"""One daemon: started, told and stopped in order. What it is made of is in `assembly`."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from slad_client import DEFAULT_TARGET

from slad import __version__
from slad.config.settings import Settings
from slad.core.errors import Refused
from slad.core.instants import SECOND_MS, format_instant
from slad.daemon import systemd
from slad.daemon.assembly import Assembly, Connections, assemble
from slad.daemon.certificates import CertificateMetrics, Certificates
from slad.daemon.fence.lease import Lease, lease_of
from slad.daemon.fence.lease_metrics import LeaseMetrics
from slad.daemon.observability import Observability
from slad.daemon.sockets import PRIVATE_MODE, control_address, listen, open_socket
from slad.delivery.retention import Retention
from slad.delivery.sinks.kinds import check_sinks
from slad.engine.engine import SlaEngine
from slad.engine.time_source import TimeSource, VirtualClock, WallClock
from slad.service.server import SladServer
from slad.storage.database import DAMAGE, DataDirectory, StorageError
from slad.storage.store import Store

if TYPE_CHECKING:
    from slad.console.server import Console

log = logging.getLogger(__name__)

STOP_GRACE_S: Final = 3.0
"""How long calls under way may take to finish after SIGTERM. What waits for its turn then is refused."""


class Daemon:
    """slad as one process runs it.

    Raises DatabaseError, FenceError, AddressError, CertificateError, SettingError when it cannot start;
    DatabaseError also when the database turns out to be damaged while it runs.
    """

    def __init__(self, settings: Settings, clock: TimeSource | None = None) -> None:
        self._settings = settings
        self.clock = clock or _clock(settings)
        self.complaint = ""
        """What is wrong with the last reload."""
        self.addresses: list[str] = []
        """Where it listens, ports chosen."""
        self.console_address = ""
        """Where the console is, if there is one: a URL, or `unix:PATH`."""
        self._console_socket: socket.socket | None = None
        self.observability = Observability(settings)
        self._stop = asyncio.Event()
        self._damage: Exception | None = None
        self._certificates: Certificates | None = None
        self._parts: Assembly | None = None

    def request_stop(self) -> None:
        """Lets `run` end cleanly."""
        self._stop.set()

    async def reload(self, settings: Settings) -> None:
        """Takes over what can change while it runs: certificates, tokens, sinks, the log level.

        Raises CertificateError, SettingError; then nothing has changed.
        """
        check_sinks(settings)
        if self._certificates is not None:
            self._certificates.reload(settings.tls)
        if self._parts is not None:
            self._parts.reload_tokens()
            await self._parts.sinks.reload(settings.sinks)
        logging.getLogger().setLevel(settings.log.level.upper())

    def status(self) -> str:
        """How it stands, in a line for an operator."""
        standing = _standing(self._parts.engine) if self._parts is not None else "starting"
        standing = f"{standing}; listening on {' '.join(self.addresses)}"
        return f"{self.complaint}; {standing}" if self.complaint else standing

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serves until `request_stop`. `ready` is called when the due timers are loaded and callers heard."""
        check_sinks(self._settings)
        tls = self._settings.tls
        if tls.cert is not None:
            self._certificates = Certificates(tls)
        is_external = self._settings.storage.checkpoints == "external"
        directory = DataDirectory(
            self._settings.data,
            external_checkpoints=is_external,
            copies_allowed=self._settings.fence.at is None,
        )
        try:
            with directory.explaining_damage():
                await self._run(directory, ready)
        finally:
            directory.close()

    async def _run(self, data: DataDirectory, ready: Callable[[], None]) -> None:
        lease = await self._take_lease(data)
        keeping = asyncio.create_task(lease.keep(), name="slad-lease") if lease is not None else None
        connections = Connections(data, lease)
        try:
            parts = await assemble(
                self._settings,
                connections,
                self.clock,
                self.observability.tracing,
                self._notice,
                systemd.Watchdog(self.status).turn_begins,
            )
            self._parts = parts
            self._listen(parts.server, data)
            self.observability.serve_metrics(
                [*parts.metrics, CertificateMetrics(self._certificates), LeaseMetrics(lease)]
            )
            await self._live(parts, ready)
        finally:
            await self.observability.stop()
            connections.close()
            if lease is not None and keeping is not None:
                keeping.cancel()
                await lease.release()

    async def _take_lease(self, data: DataDirectory) -> Lease | None:
        fence = self._settings.fence
        if fence.at is None:
            return None
        store = Store(data.reader())
        lineage = store.lineage()
        store.close()
        lease = lease_of(fence, data.path, lineage, self.clock)
        await lease.take()
        return lease

    async def _live(self, parts: Assembly, ready: Callable[[], None]) -> None:
        """From the first timer to the last answer."""
        parts.engine.prepare()
        pump = asyncio.create_task(parts.engine.run(), name="slad-engine")
        sweeper = asyncio.create_task(self._sweep(parts.retention), name="slad-retention")
        filler = asyncio.create_task(self._fill_ledger(parts), name="slad-ledger")
        pulse = asyncio.create_task(self._beat(parts.engine), name="slad-heartbeat")
        await parts.sinks.start()
        if parts.pass_through is not None:
            parts.pass_through.start()
        await parts.server.start()
        if parts.console is not None:
            await self._open(parts.console)
        self._announce(parts.engine)
        ready()
        await self._stop_is_near(pump)
        sweeper.cancel()
        filler.cancel()
        pulse.cancel()
        await _end(parts)
        await pump
        if self._damage is not None:
            raise self._damage
        log.info("stopped")

    async def _stop_is_near(self, pump: asyncio.Task[None]) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        # The engine ends by itself only when it cannot go on; then neither can the daemon.
        await asyncio.wait({pump, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    def _listen(self, server: SladServer, data: DataDirectory) -> None:
        certificates = self._certificates
        self.addresses = [
            listen(server, address, certificates.credentials() if certificates else None)
            for address in self._settings.listen
        ]
        listen(server, control_address(data.path), mode=PRIVATE_MODE)
        if (address := self._settings.console.listen) is not None:
            self._console_socket, self.console_address = open_socket(address, "--console-listen")

    async def _open(self, console: Console) -> None:
        assert self._console_socket is not None
        has_tls = self._certificates is not None and not self.console_address.startswith("unix:")
        certificates = self._certificates if has_tls else None
        await console.start(
            self._console_socket,
            lambda: certificates.context if certificates is not None else None,
            self.addresses[0],
        )
        if not self.console_address.startswith("unix:"):
            self.console_address = f"http{'s' if has_tls else ''}://{self.console_address}/"
        log.info("console at %s", self.console_address)

    async def _sweep(self, retention: Retention) -> None:
        while True:
            try:
                await retention.run()
            except StorageError as error:
                log.warning("old events could not be removed; slad tries again later: %s", error)
                self._notice(error)

    async def _fill_ledger(self, parts: Assembly) -> None:
        try:
            await parts.fill_ledger()
        except Exception as error:
            # Reports say that something is missing; the next start goes on with it.
            log.exception("the ledger could not be filled")
            self._notice(error)

    async def _beat(self, engine: SlaEngine) -> None:
        """Writes the time into the database, for those who read a replica."""
        storage = self._settings.storage
        while storage.checkpoints == "external" and storage.heartbeat_ms:
            # While it cannot be written a replica is as old as it looks.
            with suppress(Refused):
                await engine.write(lambda work: work.rows.heartbeats.append((work.now,)))
            await asyncio.sleep(storage.heartbeat_ms / SECOND_MS)

    def _notice(self, error: Exception) -> None:
        """Ends the daemon when an error says that the file is damaged: no half life on what is left of it."""
        if isinstance(error, DAMAGE):
            self._damage = error
            self.request_stop()

    def _announce(self, engine: SlaEngine) -> None:
        for address in self.addresses:
            log.info("listening on %s", address)
        if self.clock.is_virtual:
            log.info("virtual clock at %s", format_instant(self.clock.now()))
        log.info(
            "slad %s is ready",
            __version__,
            extra={"sequence": engine.sequence, "timers_in_memory": engine.timers_in_memory},
        )
        if engine.sequence == 0 and sys.stderr.isatty():
            print(first_steps(sys.argv[0], self.addresses[0]), file=sys.stderr)


def first_steps(program: str, address: str) -> str:
    """What somebody at a terminal may type next, who has no ticket yet."""
    slad = "slad" if shutil.which("slad") == program else program
    option = "" if address == DEFAULT_TARGET else f" --address {address}"
    return (
        f"\nNo ticket yet. In another terminal, start one and watch its events:\n"
        f"  {slad} start acme T-1 --24x7 --response 1m{option}\n"
        f"  {slad} watch --after 0{option}\n"
    )


async def serve(settings: Settings, read_again: Callable[[], Settings]) -> None:
    """Runs a daemon until SIGTERM or SIGINT; SIGHUP lets it take over what `read_again` then finds."""
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.request_stop)
    asked = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    reloads = asyncio.create_task(_reload_when(asked, daemon, read_again), name="slad-reload")
    try:
        await daemon.run(lambda: systemd.notify("READY=1", f"STATUS={daemon.status()}"))
    finally:
        reloads.cancel()


async def _reload_when(asked: asyncio.Event, daemon: Daemon, read_again: Callable[[], Settings]) -> None:
    while True:
        await asked.wait()
        asked.clear()
        await _reload(daemon, read_again)


async def _reload(daemon: Daemon, read_again: Callable[[], Settings]) -> None:
    systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")
    try:
        await daemon.reload(read_again())
    except (ValueError, StorageError) as error:
        log.error("the reload failed; nothing has changed: %s", error)  # noqa: TRY400 - no bug, no traceback
        daemon.complaint = f"reload failed: {error}"
    except Exception as error:
        # The next one has to be heard all the same.
        log.exception("the reload failed; restart slad")
        daemon.complaint = f"reload failed: unexpected error ({type(error).__name__}); the log says where"
    else:
        log.info("reloaded")
        daemon.complaint = ""
    systemd.notify("READY=1", f"STATUS={daemon.status()}")


def _standing(engine: SlaEngine) -> str:
    if engine.trouble is not None:
        return f"cannot write: {engine.trouble}"
    return f"serving; {engine.timers_in_memory} timers due soon, last event {engine.sequence}"


async def _end(parts: Assembly) -> None:
    """From the outside in: who still reads or calls needs what is further in."""
    systemd.notify("STOPPING=1")
    parts.hub.close()
    parts.census.stop()
    parts.execution.close()
    if parts.console is not None:
        parts.console.end()
    await asyncio.gather(parts.sinks.stop(), parts.server.stop(STOP_GRACE_S))
    if parts.pass_through is not None:
        await parts.pass_through.stop()
    if parts.console is not None:
        await parts.console.stop()
    parts.engine.stop(at_once=True)


def _clock(settings: Settings) -> TimeSource:
    if settings.virtual_clock is None:
        return WallClock()
    return VirtualClock(settings.virtual_clock)
