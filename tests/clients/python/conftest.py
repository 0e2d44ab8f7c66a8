"""A daemon, and both clients to talk to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from slad_client import RetryPolicy, aio, sync

from tests.clients.python.relay import Relay
from tests.slad_under_test import Slad, slad_running

AT_ONCE = RetryPolicy(random=lambda: 0.0)

GENERATORS = {"list_sla_trackings", "retarget_sla_trackings", "unfold_sla_report", "watch_sla_events"}


class Threaded:
    """The blocking client with the manners of the other: every call is made in a thread.

    The pauses of both are recorded, and last but a `moment`.
    """

    def __init__(self, target: str, **settings: Any) -> None:
        self.pauses: list[float] = []
        self.moment = 0.0
        self.client = sync.SladClient(target, sleep=self._sleep, **settings)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        time.sleep(self.moment)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name == "pipeline":
            return lambda **fields: ThreadedPipeline(method(**fields))
        if name not in GENERATORS:
            return lambda *args, **fields: asyncio.to_thread(method, *args, **fields)
        return lambda **fields: self._iterate(method(**fields))

    @staticmethod
    async def _iterate(items: Any) -> AsyncGenerator[Any, None]:
        end = object()
        try:
            while (item := await asyncio.to_thread(next, items, end)) is not end:
                yield item
        finally:
            await asyncio.to_thread(items.close)


class ThreadedPipeline:
    """The pipeline of the blocking client with the manners of the other."""

    def __init__(self, pipeline: sync.SladPipeline) -> None:
        self.pipeline = pipeline

    async def __aenter__(self) -> ThreadedPipeline:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.to_thread(self.pipeline.__exit__, *error)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.pipeline, name)
        if name in ("close", "execute"):
            return lambda *args: asyncio.to_thread(method, *args)

        async def put(**fields: Any) -> Any:
            return await asyncio.wrap_future(method(**fields))

        return put


class Plain:
    """The asyncio client."""

    def __init__(self, target: str, **settings: Any) -> None:
        self.pauses: list[float] = []
        self.moment = 0.0
        self.client = aio.SladClient(target, sleep=self._sleep, **settings)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(self.moment)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


Client = Plain | Threaded
Connect = Callable[..., Client]


@pytest.fixture(params=["aio", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients, of both kinds in turn; they are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(target: str, **settings: Any) -> Client:
            settings = {"retry": AT_ONCE} | settings
            client = Plain(target, **settings) if request.param == "aio" else Threaded(target, **settings)
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
async def slad(tmp_path: Path) -> AsyncIterator[Slad]:
    async with slad_running(tmp_path / "data", listen=[f"unix:{tmp_path}/slad.sock"]) as slad:
        yield slad


@pytest.fixture
async def relay(slad: Slad) -> AsyncIterator[Relay]:
    """Between client and daemon; fails as told."""
    async with Relay(slad.channel) as relay:
        yield relay


@pytest.fixture
async def client(slad: Slad, connect: Connect) -> Client:
    return connect(slad.daemon.addresses[0])


@pytest.fixture
async def relayed(relay: Relay, connect: Connect) -> Client:
    return connect(relay.address)
