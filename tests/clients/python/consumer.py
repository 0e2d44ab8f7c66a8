"""The consumer of either client, and a parking lot as a PSA's table would be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slad_client import ParkedEvent, RetryPolicy, aio, parked_from_json, parked_to_json, sync
from slad_client.v1 import admin_pb2, admin_pb2_grpc

from tests.clients.python.conftest import Client, Plain
from tests.slad_under_test import Slad

AT_ONCE = RetryPolicy(attempts=3, random=lambda: 0.0)


class Table:
    """Text, and shared by replicas. As a plain object it is for the client that blocks."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.tries = self.writes = 0
        self.failures: dict[str, float] = {}
        """How often each of the three is to fail yet."""

    def put(self, parked: ParkedEvent) -> None:
        self.tries += 1
        self._work("put")
        self.writes += 1
        self.rows[parked.event.event_id] = parked_to_json(parked)

    def list(self) -> list[ParkedEvent]:
        self._work("list")
        return [parked_from_json(text) for text in reversed(self.rows.values())]

    def remove(self, event_id: str) -> None:
        self._work("remove")
        self.rows.pop(event_id, None)

    def _work(self, name: str) -> None:
        if self.failures.get(name):
            self.failures[name] -= 1
            raise OSError("the database is away")


class Awaited:
    """Anything with methods, to be awaited."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        async def method(*arguments: Any) -> Any:
            return getattr(self._real, name)(*arguments)

        return method


class Consumer:
    """The consumer of either client, its handlers plain functions, running until the client is closed."""

    def __init__(self, client: Client, *, lot: Table | None = None, **settings: Any) -> None:
        self.client = client
        self.is_awaited = isinstance(client, Plain)
        settings = {"retry": AT_ONCE} | settings
        if lot is not None:
            settings["parking_lot"] = Awaited(lot) if self.is_awaited else lot
        kind = aio if self.is_awaited else sync
        self.real = kind.SlaEventConsumer(client.client, "psa", **settings)
        self.real._watch = replace(self.real._watch, ack_every=1)

    def on(self, kind: str, function: Callable[..., Any]) -> None:
        async def awaited(*arguments: Any) -> None:
            function(*arguments)

        awaited.__qualname__ = function.__qualname__
        getattr(self.real, f"on_{kind}")(awaited if self.is_awaited else function)

    async def run(self) -> None:
        await self.call("run")

    async def call(self, name: str, *arguments: Any) -> Any:
        method = getattr(self.real, name)
        return await (method(*arguments) if self.is_awaited else asyncio.to_thread(method, *arguments))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in a thread, too
            await asyncio.sleep(0.005)


async def until_acknowledged(slad: Slad, sequence: int) -> None:
    async with asyncio.timeout(30):
        while await acknowledged(slad) != sequence:  # noqa: ASYNC110 - slad has no event for it
            await asyncio.sleep(0.005)


async def acknowledged(slad: Slad) -> int:
    admin = admin_pb2_grpc.SlaAdminStub(slad.channel)
    consumers = (await admin.ListSlaConsumers(admin_pb2.ListSlaConsumersRequest())).consumers
    return next((int(one.acknowledged_sequence) for one in consumers if one.consumer == "psa"), 0)
