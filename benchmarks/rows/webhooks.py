"""Ten thousand events for an endpoint that takes 50 ms for each request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp.web

from benchmarks.pending import copied
from benchmarks.processes import slad
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row

NUMBER: Final = 10_000
TAKES_S: Final = 0.05
PATIENCE_S: Final = 600

CONFIGURATION: Final = """
[sinks.hook]
type = "webhook"
url = "http://127.0.0.1:{port}/"
allow_http = true
allow_networks = "127.0.0.0/8"
{more}
"""


class Endpoint:
    """Answers each request after TAKES_S, as many at once as there are."""

    def __init__(self) -> None:
        self.events = 0
        self.first = self.last = 0.0
        """When the first request came, and the last was answered, in s."""
        self.all_there = threading.Event()

    async def answer(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        """One request."""
        self.first = self.first or time.monotonic()
        told = await request.json()
        await asyncio.sleep(TAKES_S)
        self.events += len(told) if isinstance(told, list) else 1
        self.last = time.monotonic()
        if self.events >= NUMBER:
            self.all_there.set()
        return aiohttp.web.Response()


@contextmanager
def _serving(endpoint: Endpoint) -> Iterator[int]:
    """The endpoint in a thread of its own; its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    app = aiohttp.web.Application()
    app.router.add_post("/", endpoint.answer)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    wait(runner.setup())
    wait(aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start())
    try:
        yield runner.addresses[0][1]
    finally:
        wait(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


def _seconds(disk: Path, more: str) -> float:
    """From the first request to the last answer, with an endpoint that was away so far."""
    endpoint = Endpoint()
    with copied(NUMBER, disk) as data, _serving(endpoint) as port:
        file = data / "slad.toml"
        file.write_text(CONFIGURATION.format(port=port, more=more), "utf-8")
        with slad(data, "--config", str(file)):
            if not endpoint.all_there.wait(PATIENCE_S):
                raise RuntimeError(f"{endpoint.events} events came")
    return endpoint.last - endpoint.first


def run(options: Options) -> Result:
    """By default, one event a request; and in batches of 100."""
    figures: dict[str, list[float]] = {"one by one s": [], "in batches s": []}
    for _ in range(options.repeats):
        figures["one by one s"].append(_seconds(options.disk, ""))
        figures["in batches s"].append(_seconds(options.disk, "batch = 100"))
    return Result("webhooks", figures)


ROW = Row(
    "webhooks",
    "10,000 events to a webhook whose endpoint takes 50 ms a request: all answered",
    "–",
    (
        Target("one by one s", 70, at_least=False, unit="s"),
        Target("in batches s", 10, at_least=False, unit="s"),
    ),
    run,
    240,
)
