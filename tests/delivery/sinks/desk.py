"""A daemon with sinks, and what a desk does to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import admin_pb2_grpc

from slad.config.sinks import read_sinks
from tests.slad_under_test import Slad, slad_running

PATIENCE_S = 60
QUICK = {"backoff_min": "1ms", "backoff_max": "20ms"}
"""Retries that do not make a test wait."""


@asynccontextmanager
async def desk(data: Path, **tables: Mapping[str, Any]) -> AsyncIterator[Desk]:
    """A daemon in this event loop, with the sinks that the tables describe."""
    async with slad_running(data, sinks=read_sinks(tables)) as slad:
        yield Desk(slad)


class Desk:
    """A daemon, and its administration."""

    def __init__(self, slad: Slad) -> None:
        self.slad = slad
        self.admin = admin_pb2_grpc.SlaAdminStub(slad.channel)

    async def tickets(self, *names: str, **fields: Any) -> None:
        """Starts tickets; each is one event."""
        for name in names:
            await self.slad.start(name, **fields)

    async def sinks(self) -> list[rpc.SlaSink]:
        return list((await self.admin.ListSlaSinks(rpc.ListSlaSinksRequest())).sinks)

    async def sink(self, name: str = "s") -> rpc.SlaSink:
        return next(sink for sink in await self.sinks() if sink.sink == name)

    async def parked(self, name: str = "s") -> list[rpc.ParkedSlaEvent]:
        reply = await self.admin.ListParkedSlaEvents(rpc.ListParkedSlaEventsRequest(sink=name))
        return list(reply.events)

    async def replay(self, *sequences: int, name: str = "s") -> int:
        request = rpc.ReplayParkedSlaEventsRequest(sink=name, sequences=sequences, all=not sequences)
        return int((await self.admin.ReplayParkedSlaEvents(request)).events)

    async def discard(self, *sequences: int, name: str = "s") -> int:
        request = rpc.DiscardParkedSlaEventsRequest(sink=name, sequences=sequences, all=not sequences)
        return int((await self.admin.DiscardParkedSlaEvents(request)).events)

    async def at_rest(self, name: str = "s") -> list[rpc.ParkedSlaEvent]:
        """What is parked, once nothing of it is on its way again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = await self.parked(name)
            if not any(parked.replaying for parked in found):
                return found
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    async def until(self, name: str = "s", **fields: Any) -> rpc.SlaSink:
        """Waits until the sink stands as said: a value, or a predicate, a field."""

        def fits(sink: rpc.SlaSink) -> bool:
            return all(
                wanted(getattr(sink, field)) if callable(wanted) else getattr(sink, field) == wanted
                for field, wanted in fields.items()
            )

        deadline = time.monotonic() + PATIENCE_S
        while not fits(sink := await self.sink(name)):
            assert time.monotonic() < deadline, f"never {fields}: {sink}"
            await asyncio.sleep(0.01)
        return sink


async def eventually(condition: Callable[[], Any]) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
