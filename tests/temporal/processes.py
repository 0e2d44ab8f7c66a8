"""`slad temporal-worker` as a process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

COMMAND = Path(sys.executable).parent / "slad"


@asynccontextmanager
async def worker_process(
    temporal: str, daemon_port: int, queue: str, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker that takes tasks; killed at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "temporal-worker",
        f"--temporal-address={temporal.removeprefix('http://')}",
        f"--temporal-task-queue={queue}",
        f"--address=127.0.0.1:{daemon_port}",
        *arguments,
        env={**os.environ, "SLAD_LOG_FORMAT": "json"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        said = b""
        async with asyncio.timeout(60):
            while b'"message": "serving ' not in said:
                line = await process.stderr.readline()
                assert line, said
                said += line
        draining = asyncio.create_task(process.stderr.read())
        yield process
        draining.cancel()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
