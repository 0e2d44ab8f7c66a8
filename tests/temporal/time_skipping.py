"""Temporal's test server, whose clock stands until it is moved; it begins at any instant.

It is a Java program: `.ci/run` fetches what it needs.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from slad.core.instants import from_datetime
from tests.paths import ROOT

JARS = ROOT / ".tools" / "temporal-test-server"
PROGRAM = Path(__file__).parent / "test_server" / "TimeSkippingServer.java"
PATIENCE = timedelta(seconds=120)
"""For a server to start, on a machine that may be slow."""


class TimeSkipping:
    """A running server, and its clock."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        # The environment's own client skips time whenever a result is awaited.
        self.client = Client(environment.client.service_client)

    async def now(self) -> int:
        """The server's time, UTC epoch ms. It goes on as real time does while nothing is skipped."""
        return from_datetime(await self._environment.get_current_time())

    async def sleep(self, **span: float) -> None:
        """Skips `days=…`, `hours=…`, …; on the way timers go off, each at its own instant."""
        await self._environment.sleep(timedelta(**span))

    async def sleep_until(self, instant_ms: int) -> None:
        """Skips to an instant, or a little beyond: time goes on while this is asked for."""
        await self.sleep(milliseconds=max(0, instant_ms - await self.now()))


def java_of_the_test_server() -> str:
    """Java, where it and what the server needs is there; else the test skips."""
    java = shutil.which("java")
    if java is None or not any(JARS.glob("temporal-test-server-*.jar")):
        pytest.skip(
            "Temporal's test server is missing; fetch it with Java 17 and Maven: mvn -q -B "
            "-f tests/temporal/test_server/pom.xml dependency:copy-dependencies "
            "-DoutputDirectory=$PWD/.tools/temporal-test-server"
        )
    return java


@asynccontextmanager
async def time_skipping(begins: int, directory: Path) -> AsyncIterator[TimeSkipping]:
    """A server whose time begins at `begins` (UTC epoch ms)."""
    java = java_of_the_test_server()
    wrapper = directory / "temporal-test-server"
    command = f"'{java}' -XX:TieredStopAtLevel=1 -Xmx1g -cp '{JARS}/*' '{PROGRAM}' \"$1\" {begins}"
    wrapper.write_text(f"#!/bin/sh\nexec {command} 2>/dev/null\n")
    wrapper.chmod(0o755)
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(wrapper), test_server_startup_timeout=PATIENCE
    )
    async with environment:
        yield TimeSkipping(environment)


async def until(condition: Callable[[], Any], patience_s: float = 60) -> None:
    """Waits in real time for what is under way."""
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
