"""A whole daemon in the test's own event loop, under the virtual clock, with stubs to talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc, test_clock_pb2, test_clock_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import Settings
from slad.daemon.daemon import Daemon
from slad.engine.time_source import TimeSource
from tests.core.tickets import at

MONDAY_9 = at("2026-03-02T09:00:00Z")


@dataclass
class Slad:
    daemon: Daemon
    channel: grpc.aio.Channel
    backend: Any
    clock: Any

    @property
    def now(self) -> int:
        return self.daemon.clock.now()

    async def advance(self, **span: float) -> int:
        """Moves the virtual clock by `minutes=…`, `hours=…`; the number of events committed."""
        request = test_clock_pb2.AdvanceTimeRequest()
        request.by.FromMilliseconds(
            int(span.get("minutes", 0) * 60_000 + span.get("hours", 0) * 3_600_000 + span.get("ms", 0))
        )
        reply = await self.clock.AdvanceTime(request)
        return int(reply.events_committed)

    async def advance_to(self, instant: int) -> int:
        request = test_clock_pb2.AdvanceTimeRequest()
        request.to.FromMilliseconds(instant)
        return int((await self.clock.AdvanceTime(request)).events_committed)

    async def start(self, ticket: str = "T-1", **fields: Any) -> rpc.StartSlaTrackingResponse:
        return await self.backend.StartSlaTracking(start_request(ticket, **fields))

    async def events(self, after: int = 0) -> list[pb.SlaEvent]:
        """All events so far, up to a marker that this call adds under a tenant of its own."""
        marker = uuid4().hex
        found: list[pb.SlaEvent] = []
        call = self.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=after))
        try:
            await self.start(marker, tenant_id="marker")
            async for reply in call:
                for event in reply.events:
                    if event.ticket_id == marker:
                        return found
                    if event.tenant_id != "marker":
                        found.append(event)
        finally:
            call.cancel()
        return found


_variant: Any = None


@contextmanager
def variant(running: Any) -> Iterator[None]:
    """Lets `slad_running` be `running` for a while: the same suite against another engine."""
    global _variant  # noqa: PLW0603
    _variant = running
    try:
        yield
    finally:
        _variant = None


@asynccontextmanager
async def slad_running(data: Path, *, now: int | None = MONDAY_9, **settings: Any) -> AsyncIterator[Slad]:
    """A daemon that serves; stopped cleanly at the end. `now`: where virtual time begins; None: real time."""
    async with (_variant or daemon_running)(data, now=now, **settings) as slad:
        yield slad


@asynccontextmanager
async def daemon_running(
    data: Path,
    *,
    now: int | None = MONDAY_9,
    listen: Sequence[str] = ("127.0.0.1:0",),
    clock: TimeSource | None = None,
    **settings: Any,
) -> AsyncIterator[Slad]:
    """The daemon alone."""
    daemon = Daemon(Settings(listen=tuple(listen), data=data, virtual_clock=now, **settings), clock)
    ready = asyncio.Event()
    running = asyncio.create_task(daemon.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        running.result()
    try:
        async with grpc.aio.insecure_channel(daemon.addresses[0]) as channel:
            yield Slad(
                daemon,
                channel,
                sla_backend_pb2_grpc.SlaBackendStub(channel),
                test_clock_pb2_grpc.TestClockStub(channel),
            )
    finally:
        daemon.request_stop()
        await running


OFFICE = pb.BusinessHoursSchedule(
    timezone="UTC",
    entries=[
        pb.BusinessHoursEntry(day_of_week=day, start_time="09:00", end_time="17:00", is_enabled=True)
        for day in range(1, 6)
    ],
)


def target(
    response: int | None = 60, resolution: int | None = 240, escalate: tuple[int, int, int] = (70, 90, 110)
) -> pb.SlaPolicyTarget:
    return pb.SlaPolicyTarget(
        response_time_minutes=response,
        resolution_time_minutes=resolution,
        escalation_1_percent=escalate[0],
        escalation_2_percent=escalate[1],
        escalation_3_percent=escalate[2],
    )


def start_request(ticket: str = "T-1", **fields: Any) -> rpc.StartSlaTrackingRequest:
    defaults: dict[str, Any] = {
        "tenant_id": "acme",
        "ticket_id": ticket,
        "policy_id": "gold",
        "targets": [target()],
        "schedule": OFFICE,
    }
    return rpc.StartSlaTrackingRequest(**(defaults | fields))


@dataclass
class Refusal:
    """What a refused call said."""

    code: grpc.StatusCode
    reason: str
    fields: list[str]
    message: str
    metadata: dict[str, str]


async def refused(call: Any) -> Refusal:
    """Awaits a call that must be refused, and reads its status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads the status of a failed call: google.rpc.Status with its details."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no google.rpc.Status: {error}"
    return refusal_of(status)


def refusal_of(status: status_pb2.Status) -> Refusal:
    """Reads a google.rpc.Status of slad's."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(bad)
    assert info.domain == "slad"
    return Refusal(
        next(code for code in grpc.StatusCode if code.value[0] == status.code),
        info.reason,
        [violation.field for violation in bad.field_violations],
        status.message,
        dict(info.metadata),
    )


def stamp(text: str | int) -> Any:
    """RFC 3339 or epoch ms as a Timestamp."""
    message = rpc.PauseSlaRequest()
    message.effective_at.FromMilliseconds(text if isinstance(text, int) else at(text))
    return message.effective_at


def told(events: Sequence[pb.SlaEvent]) -> list[str]:
    """Events as short words: STARTED, RESPONSE 50 REACHED, …"""
    words = []
    for event in events:
        kind = pb.SlaEventType.Name(event.type).removeprefix("SLA_EVENT_TYPE_")
        if event.HasField("threshold"):
            phase = pb.SlaPhase.Name(event.phase).removeprefix("SLA_PHASE_")
            words.append(f"{phase} {event.threshold.percent} {kind.removeprefix('THRESHOLD_')}")
        elif kind == "PHASE_COMPLETED":
            words.append(f"{pb.SlaPhase.Name(event.phase).removeprefix('SLA_PHASE_')} {kind}")
        else:
            words.append(kind)
    return words


def bearer(secret: str) -> dict[str, Any]:
    """The options of a call that comes with a token."""
    return {"metadata": (("authorization", f"Bearer {secret}"),)}


def trusted(data: Path) -> grpc.aio.Channel:
    """To the daemon's own socket, where no token is needed."""
    return grpc.aio.insecure_channel(f"unix:{data}/control.sock")
