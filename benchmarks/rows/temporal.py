"""Durable StartSlaTracking against workflow starts at Temporal's development server."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from uuid import uuid4

from benchmarks.processes import load, slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row

IN_FLIGHT = 32
TOOLS = Path(__file__).parents[2] / ".tools" / "bin"


def run(options: Options) -> Result:
    """In turn: a round with Temporal, a round with slad; 32 in flight with both."""
    figures: dict[str, list[float]] = {"ratio": [], "slad/s": [], "temporal/s": []}
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        with slad(Path(scratch) / "data") as server, dev_server(Path(scratch)) as address:
            for _ in range(options.repeats):
                workflows = asyncio.run(_start_workflows(address, options.seconds))
                started = load(
                    server, in_flight=IN_FLIGHT, warm_up=0.5, seconds=options.seconds, with_request_id=True
                )
                figures["temporal/s"].append(workflows)
                figures["slad/s"].append(started.rate)
                figures["ratio"].append(started.rate / workflows)
    return Result("temporal", figures, ["The development server keeps its workflows in a file (SQLite)."])


@contextmanager
def dev_server(scratch: Path) -> Iterator[str]:
    """Temporal's development server on a file of its own; its address."""
    binary = which("temporal", path=os.pathsep.join((str(TOOLS), os.environ["PATH"])))
    if binary is None:
        raise RuntimeError("the temporal CLI is missing (.ci/run shows how it is built)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--db-filename", str(scratch / "temporal.db"), "--log-level", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


async def _start_workflows(address: str, seconds: float) -> float:
    from temporalio.client import Client  # an extra

    deadline = time.monotonic() + 60
    while True:
        try:
            client = await Client.connect(address)
            break
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
    count, stopping = 0, False

    async def lane() -> None:
        nonlocal count
        while not stopping:
            await client.start_workflow("benchmark", id=uuid4().hex, task_queue="nobody")
            count += 1

    async with asyncio.TaskGroup() as lanes:
        for _ in range(IN_FLIGHT):
            lanes.create_task(lane())
        await asyncio.sleep(1)
        count, begun = 0, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = count / (time.perf_counter() - begun)
        stopping = True
    return rate


ROW = Row(
    "temporal",
    "durable StartSlaTracking, 32 in flight",
    "workflow starts at Temporal's development server",
    (Target("ratio", 25, at_least=True),),
    run,
    60,
)
