"""A desk at work: who starts tickets that soon reach their thresholds, and who listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

CALLERS = 4
THRESHOLDS = (50, 52, 54)
TARGET_MINUTES = 1
"""So that thresholds are 1.2 s apart."""

AHEAD_S = 2.0
"""How long after its start a ticket reaches its first threshold."""

LAST_S = AHEAD_S + TARGET_MINUTES * 60 * (THRESHOLDS[-1] - THRESHOLDS[0]) / 100
"""How long after its start it reaches its last."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A start that slad has answered."""

    request: rpc.StartSlaTrackingRequest
    at: int
    """When the answer was there, UTC epoch ms."""


@dataclass
class Desk:
    """What the callers were promised, and what they heard."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """How often, by the detail of the status."""
    heard: list[pb.SlaEvent] = field(default_factory=list)

    @asynccontextmanager
    async def at_work(self, address: str) -> AsyncIterator[None]:
        """Callers and a listener at a daemon, which may go away meanwhile."""
        async with grpc.aio.insecure_channel(address) as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            tasks = [asyncio.create_task(self._listen(stub))]
            tasks += [asyncio.create_task(self._call(stub)) for _ in range(CALLERS)]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send_again(self, address: str, since: int) -> int:
        """What a PSA does after a take-over: every request since an instant, with its request id; how many."""
        again = [one.request for one in self.acknowledged if one.at >= since]
        async with grpc.aio.insecure_channel(address) as channel:
            stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
            for request in again:
                await stub.StartSlaTracking(request, wait_for_ready=True, timeout=20)
        return len(again)

    async def _call(self, stub: sla_backend_pb2_grpc.SlaBackendAsyncStub) -> None:
        while True:
            request = rpc.StartSlaTrackingRequest(
                tenant_id="acme",
                ticket_id=uuid4().hex,
                request_id=uuid4().hex,
                targets=[pb.SlaPolicyTarget(resolution_time_minutes=TARGET_MINUTES, is_24x7=True)],
                notification_thresholds=THRESHOLDS,
            )
            before_s = TARGET_MINUTES * 60 * THRESHOLDS[0] / 100 - AHEAD_S
            request.started_at.FromMilliseconds(int(now_ms() - before_s * 1_000))
            try:
                await stub.StartSlaTracking(request, timeout=10)
            except grpc.aio.AioRpcError as error:
                told = error.details() or ""
                self.refused[told] = self.refused.get(told, 0) + 1
                await asyncio.sleep(0.05)
                continue
            self.acknowledged.append(Acknowledged(request, now_ms()))
            await asyncio.sleep(0.005)

    async def _listen(self, stub: sla_backend_pb2_grpc.SlaBackendAsyncStub) -> None:
        try:
            async for reply in stub.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0)):
                self.heard.extend(reply.events)
        except grpc.aio.AioRpcError:
            return


async def tickets_of(address: str) -> set[str]:
    """The live tickets of a daemon."""
    found: set[str] = set()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        request = rpc.ListSlaTrackingsRequest(tenant_id="acme", page_size=1_000)
        while True:
            page = await stub.ListSlaTrackings(request, wait_for_ready=True, timeout=30)
            found |= {one.ticket_id for one in page.trackings}
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


async def events_of(address: str) -> list[pb.SlaEvent]:
    """All events that a daemon has."""
    found: list[pb.SlaEvent] = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        call = stub.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0), wait_for_ready=True)
        head = int(dict(list(await call.initial_metadata()))["slad-head-sequence"])
        async for reply in call:
            found.extend(reply.events)
            if found[-1].sequence >= head:
                call.cancel()
                return found
    return found
