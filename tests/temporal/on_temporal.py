"""A daemon that lets Temporal carry every ticket, with slad's worker, all on one virtual time.

The daemon's virtual clock leads: each step that it takes is made by Temporal's test server after it, so that
AdvanceTime finds every threshold reported at its instant.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.empty_pb2 import Empty
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.client import Client

from slad.config.settings import ConnectionSettings, RoutingSettings, TemporalSettings
from slad.core.instants import MINUTE_MS
from slad.engine.time_source import VirtualClock
from slad.temporal.workflow.wire import Effects
from slad.temporal.workflow.worker import make_worker
from tests.ports import own_port
from tests.slad_under_test import MONDAY_9, Slad, daemon_running
from tests.temporal.time_skipping import JARS, PROGRAM, java_of_the_test_server

PATIENCE = timedelta(seconds=60)

BEHIND_MS = 10 * MINUTE_MS
"""How far behind the daemon's clock Temporal's begins. It goes on by itself as real time does, and must not
come to a threshold before the daemon."""


RECONNECT_SOON = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))


class TestServers:
    """One process that holds as many test servers as are wanted, each with a clock of its own."""

    __test__ = False

    def __init__(self) -> None:
        java = java_of_the_test_server()
        self._process = subprocess.Popen(
            [java, "-XX:TieredStopAtLevel=1", "-Xmx1g", "-cp", f"{JARS}/*", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def serve(self, begins: int) -> str:
        """The address of a new server, whose time begins at `begins` (UTC epoch ms)."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{begins}\n")
        self._process.stdin.flush()
        port = int(self._process.stdout.readline())
        return f"127.0.0.1:{port}"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def test_servers() -> Iterator[TestServers]:
    servers = TestServers()
    try:
        yield servers
    finally:
        servers.close()


test_servers.__test__ = False  # type: ignore[attr-defined]


class FollowedClock(VirtualClock):
    """Virtual time that another clock follows."""

    def __init__(self, now: int) -> None:
        super().__init__(now)
        self.moved = asyncio.Event()
        self.moved.set()

    def reach(self, instant: int) -> None:
        super().reach(instant)
        self.moved.set()


class _Place(NamedTuple):
    """What outlasts a daemon: its address, and Temporal, with a worker that knows that address."""

    listen: str
    temporal: str
    client: Client


class OnTemporal:
    """Makes daemons on Temporal for one test; those on the same data go on with the same Temporal."""

    def __init__(self, servers: TestServers, stack: AsyncExitStack) -> None:
        self._servers = servers
        self._stack = stack
        self._places: dict[Path, _Place] = {}

    @asynccontextmanager
    async def running(
        self, data: Path, *, now: int | None = MONDAY_9, **settings: Any
    ) -> AsyncIterator[Slad]:
        """As `slad_running`."""
        assert now is not None, "Temporal's time can only be moved together with virtual time"
        if data not in self._places:
            self._places[data] = await self._settle(now)
        place, clock = self._places[data], FollowedClock(now)
        settings.setdefault(
            "temporal", TemporalSettings(RoutingSettings("temporal"), ConnectionSettings(place.temporal))
        )
        async with daemon_running(data, now=now, listen=(place.listen,), clock=clock, **settings) as slad:
            following = asyncio.create_task(_follow(place.client, clock))
            try:
                # What fell due while it was down.
                await slad.advance(ms=0)
                yield slad
            finally:
                following.cancel()

    async def _settle(self, now: int) -> _Place:
        temporal = self._servers.serve(now - BEHIND_MS)
        client = await Client.connect(temporal, connect_timeout=PATIENCE)
        listen = f"127.0.0.1:{own_port()}"
        channel = grpc.aio.insecure_channel(listen, options=RECONNECT_SOON)
        await self._stack.enter_async_context(channel)
        queue = ConnectionSettings().task_queue
        worker = make_worker(client, task_queue=queue, effects=Effects(report=True), daemon=channel)
        await self._stack.enter_async_context(worker)
        return _Place(listen, temporal, client)


async def _follow(client: Client, clock: FollowedClock) -> None:
    """Moves Temporal's clock to where the daemon's is, whenever that has moved."""
    while True:
        await clock.moved.wait()
        clock.moved.clear()
        here = (await client.test_service.get_current_time(Empty())).time.ToMilliseconds()
        if here < clock.now():
            request = SleepRequest()
            request.duration.FromMilliseconds(clock.now() - here)
            await client.test_service.unlock_time_skipping_with_sleep(request)
