"""Open consoles, as a process of their own: `python -m benchmarks.consoles URL --now 14 --seconds 60`.

Each reads a live page as a browser does, and tells at the end how many parts were sent to all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from contextlib import suppress

import aiohttp
import uvloop


def opened(url: str, now: int, tickets: int, seconds: float) -> subprocess.Popen[str]:
    """The process; `benchmarks.clients.told` reads what it tells."""
    command = [sys.executable, "-m", "benchmarks.consoles", url, "--seconds", str(seconds)]
    command += ["--now", str(now), "--tickets", str(tickets)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def read(url: str, pages: list[str], seconds: float) -> dict[str, int]:
    """Reads so many live pages for so long. Raises RuntimeError when one is not served."""
    parts = 0

    async def follow(session: aiohttp.ClientSession, page: str) -> None:
        nonlocal parts
        async with session.get(f"{url}{page}") as whole:
            await whole.read()
        live = f"{page.rstrip('/')}/live"
        async with session.get(f"{url}{live}") as stream:
            if stream.status != 200:
                raise RuntimeError(f"{live}: {stream.status}")
            async for line in stream.content:
                parts += line == b"event: part\n"

    timeout = aiohttp.ClientTimeout(total=None)
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=limits, read_bufsize=2**20) as session:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(follow(session, page) for page in pages))
    return {"parts": parts}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--now", type=int, default=14)
    parser.add_argument("--tickets", type=int, default=6)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    pages = ["/"] * given.now + [f"/t/pending/P-{place}" for place in range(given.tickets)]
    print(json.dumps(uvloop.run(read(given.url.rstrip("/"), pages, given.seconds))))


if __name__ == "__main__":
    main()
