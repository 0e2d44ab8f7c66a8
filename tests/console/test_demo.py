"""`slad demo --console`: a day of a desk in a browser, from nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import aiohttp
import pytest

pytestmark = pytest.mark.slow

PATIENCE_S = 60


async def test_a_day_of_a_desk_is_there_until_it_is_stopped() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slad", "demo", "--console", "--seconds", "1"),
        stdout=asyncio.subprocess.PIPE,
        # The tests may run in the background of a shell, which has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**{key: value for key, value in os.environ.items() if "DISPLAY" not in key}, "BROWSER": "true"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        line = (await process.stdout.readline()).decode()
        url = line.split()[-1]
        assert url.startswith("http://127.0.0.1:"), line
        async with session.get(url) as answer:
            assert answer.status == 200
            assert "DESK-105" in await answer.text()
        while "stands still" not in line:
            line = (await process.stdout.readline()).decode()
        async with session.get(f"{url}t/acme/DESK-103") as answer:
            assert "2 h 35 min of 2 h, missed" in await answer.text()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)
