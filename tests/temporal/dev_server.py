"""Temporal's dev server: the real thing, on a port and a file of its own, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import pass_through_pb2 as rpc
from slad_client.v1 import pass_through_pb2_grpc
from temporalio.client import Client

from slad.config.settings import ConnectionSettings, RoutingSettings, TemporalSettings
from slad.temporal.workflow.names import workflow_id
from slad.temporal.workflow.wire import Effects
from slad.temporal.workflow.worker import make_worker
from tests.paths import TOOLS
from tests.ports import own_port
from tests.slad_under_test import Slad, daemon_running

PATIENCE_S = 90.0


class DevServer:
    """One server. What it knows is in a file, so it knows it still after it was killed."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("temporal", path=os.pathsep.join([str(TOOLS), os.environ["PATH"]]))
        if program is None:
            pytest.skip(
                "temporal is missing; build it: "
                "GOBIN=$PWD/.tools/bin go install github.com/temporalio/cli/cmd/temporal@v1.5.1"
            )
        self.address = f"127.0.0.1:{own_port()}"
        self._command = [
            program, "server", "start-dev", "--headless", "--log-level", "never",
            "--port", self.address.rpartition(":")[2], "--db-filename", str(folder / "temporal.db"),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def client(self) -> Client:
        """A client, once it answers."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    client = await Client.connect(self.address, connect_timeout=timedelta(seconds=5))
                    await client.count_workflows(rpc_timeout=timedelta(seconds=5))
                except Exception:
                    await asyncio.sleep(0.1)
                else:
                    return client


@contextmanager
def dev_server(folder: Path, *, is_up: bool = True) -> Iterator[DevServer]:
    server = DevServer(folder)
    if is_up:
        server.start()
    try:
        yield server
    finally:
        server.kill()


class Tried:
    """A daemon in pass-through on the dev server, in real time, for the tenant acme."""

    def __init__(self, slad: Slad, client: Client | None, queue: str) -> None:
        self.slad = slad
        self.client = client
        self.ticket = queue
        """A ticket of its own for every test: they share the server."""
        self.control = pass_through_pb2_grpc.SlaPassThroughStub(slad.channel)

    async def view(self) -> rpc.GetSlaPassThroughResponse:
        return await self.control.GetSlaPassThrough(rpc.GetSlaPassThroughRequest())

    async def drained(self) -> None:
        """Waits until Temporal knows everything."""

        async def nothing_waits() -> bool:
            return (await self.view()).waiting == 0

        await eventually(nothing_waits)

    async def has_heard(self, ticket: str, *signals: str) -> None:
        """Waits until these are the signals of a ticket's workflow: while its worker is at work they are not
        in its history yet."""

        async def heard() -> bool:
            return await self.signals(ticket) == list(signals)

        await eventually(heard)

    async def signals(self, ticket: str) -> list[str]:
        """The signals in the history of a ticket's workflow, in order."""
        assert self.client
        return await signals_of(self.client, ticket)

    async def reached(self, ticket: str) -> list[int]:
        """The percents that slad has announced of a ticket, in order."""
        events = await self.slad.events()
        return [e.threshold.percent for e in events if e.ticket_id == ticket and e.HasField("threshold")]


@asynccontextmanager
async def pass_through(
    server: DevServer,
    data: Path,
    queue: str,
    *,
    worker: bool = True,
    is_up: bool = True,
    routing: dict[str, Any] | None = None,
    repair: str = "restart",
    namespace: str = "default",
    **others: Any,
) -> AsyncIterator[Tried]:
    """A daemon whose tickets of tenant acme are Temporal's; with slad's worker unless told otherwise.

    `others` are as of `daemon_running`.
    """
    client = await server.client() if is_up else None
    settings = TemporalSettings(
        RoutingSettings(**({"mode": "by-tenant", "tenants": ("acme",), "grace_ms": 1_000} | (routing or {}))),
        ConnectionSettings(server.address, namespace, queue),
        repair,
    )
    async with daemon_running(data, now=None, temporal=settings, **others) as slad:
        tried = Tried(slad, client, queue)
        if worker and client:
            effects = Effects(report=True)
            async with make_worker(client, task_queue=queue, effects=effects, daemon=slad.channel):
                yield tried
        else:
            yield tried


async def signals_of(client: Client, ticket: str) -> list[str]:
    """The signals in the history of the workflow of a ticket of acme's, in order."""
    history = await client.get_workflow_handle(workflow_id("acme", ticket)).fetch_history()
    return [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in history.events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]


async def eventually(condition: Callable[[], Any]) -> None:
    """Waits in real time until `condition` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
