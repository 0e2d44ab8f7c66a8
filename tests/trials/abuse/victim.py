"""What another caller notices of an attack, and what it takes of the machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from tests.slad_under_test import bearer
from tests.trials.fuzz.fuzzer import memory_kib

QUERY_EVERY_S: Final = 0.05
SAMPLE_EVERY_S: Final = 0.05
NEW_EVERY_S: Final = 0.5
CALL_TIMEOUT_S: Final = 60
ALONE: Final = (("grpc.use_local_subchannel_pool", 1),)
"""A connection of its own."""
TICKETS: Final = 20
PERCENTS: Final = list(range(2, 100, 2))
"""Of a minute: on each ticket a threshold every 1.2 s."""


@dataclass
class Notes:
    """What was noticed."""

    answers_ms: list[float] = field(default_factory=list)
    """Of queries."""
    starts_ms: list[float] = field(default_factory=list)
    """Of starts."""
    late_ms: list[float] = field(default_factory=list)
    """Of thresholds, when they arrived."""
    newcomers_ms: list[float] = field(default_factory=list)
    """Of health checks, each on a new connection."""
    operator_ms: list[float] = field(default_factory=list)
    """Of calls over the control socket, each on a new connection."""
    errors: dict[str, int] = field(default_factory=dict)
    memory_mib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    wal_mib: list[float] = field(default_factory=list)

    def failed(self, who: str, error: Any) -> None:
        what = f"{who}: {error.code().name}"
        self.errors[what] = self.errors.get(what, 0) + 1


class Victim:
    """A caller of tenant `modest`, somebody new, and the operator."""

    def __init__(self, pid: int, address: str, data: Path, ca: bytes, token: str) -> None:
        self.notes = Notes()
        self._pid = pid
        self._address = address
        self._data = data
        self._credentials = grpc.ssl_channel_credentials(ca)
        self._token = bearer(token)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Notices what there is to be noticed until the end of the block."""
        async with grpc.aio.secure_channel(self._address, self._credentials) as channel:
            backend: Any = sla_backend_pb2_grpc.SlaBackendStub(channel)
            await self._start(backend)
            jobs = (
                self._query(backend),
                self._start_more(backend),
                self._watch(backend),
                self._come_anew(),
                self._operate(),
                self._look(),
            )
            tasks = [asyncio.create_task(job) for job in jobs]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, backend: Any) -> None:
        for number in range(TICKETS):
            request = rpc.StartSlaTrackingRequest(tenant_id="modest", ticket_id=f"M-{number}")
            request.targets.add(response_time_minutes=1, is_24x7=True)
            request.notification_thresholds.extend(PERCENTS)
            await backend.StartSlaTracking(request, **self._token)

    async def _query(self, backend: Any) -> None:
        request = rpc.GetSlaStatusRequest(tenant_id="modest", ticket_id="M-0")
        while True:
            call = backend.GetSlaStatus(request, timeout=CALL_TIMEOUT_S, **self._token)
            await self._timed("query", self.notes.answers_ms, call)
            await asyncio.sleep(QUERY_EVERY_S)

    async def _start_more(self, backend: Any) -> None:
        for number in count():
            request = rpc.StartSlaTrackingRequest(tenant_id="modest", ticket_id=f"N-{number}")
            request.targets.add(response_time_minutes=100_000, is_24x7=True)
            call = backend.StartSlaTracking(request, timeout=CALL_TIMEOUT_S, **self._token)
            await self._timed("start", self.notes.starts_ms, call)
            await asyncio.sleep(QUERY_EVERY_S)

    async def _watch(self, backend: Any) -> None:
        request = rpc.WatchSlaEventsRequest(types=[pb.SLA_EVENT_TYPE_THRESHOLD_REACHED])
        try:
            async for reply in backend.WatchSlaEvents(request, **self._token):
                now = time.time() * 1000
                self.notes.late_ms += [now - event.occurred_at.ToMilliseconds() for event in reply.events]
        except grpc.aio.AioRpcError as error:
            self.notes.failed("watch", error)

    async def _come_anew(self) -> None:
        def channel() -> grpc.Channel:
            return grpc.secure_channel(self._address, self._credentials, ALONE)

        await self._check("newcomer", self.notes.newcomers_ms, channel)

    async def _operate(self) -> None:
        def channel() -> grpc.Channel:
            return grpc.insecure_channel(f"unix:{self._data}/control.sock", ALONE)

        await self._check("operator", self.notes.operator_ms, channel)

    async def _check(self, who: str, times: list[float], channel: Callable[[], grpc.Channel]) -> None:
        def check() -> None:
            with channel() as made:
                health_pb2_grpc.HealthStub(made).Check(
                    health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_S
                )

        while True:
            await self._timed(who, times, asyncio.to_thread(check))
            await asyncio.sleep(NEW_EVERY_S)

    async def _timed(self, who: str, times: list[float], call: Any) -> None:
        began = time.monotonic()
        try:
            await call
        except grpc.RpcError as error:
            self.notes.failed(who, error)
        except asyncio.CancelledError:
            times.append((time.monotonic() - began) * 1000)
            raise
        else:
            times.append((time.monotonic() - began) * 1000)

    async def _look(self) -> None:
        wal = self._data / "slad.db-wal"
        while True:
            self.notes.memory_mib.append((memory_kib(self._pid) or 0) / 1024)
            with suppress(OSError):
                self.notes.descriptors.append(len(os.listdir(f"/proc/{self._pid}/fd")))
                self.notes.wal_mib.append(wal.stat().st_size / 2**20)
            await asyncio.sleep(SAMPLE_EVERY_S)
