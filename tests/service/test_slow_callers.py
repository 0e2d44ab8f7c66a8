"""Callers who do not send what they began, or do not read what they asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import debug_pb2, debug_pb2_grpc, sla_backend_pb2_grpc, tokens_pb2, tokens_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.config.settings import LimitSettings
from slad.service import stalls
from tests.slad_under_test import Slad, bearer, refusal, slad_running, trusted
from tests.system.security.test_tokens import create
from tests.trials.abuse.http2 import Connection, message

START = "/slad.v1.SlaBackend/StartSlaTracking"
LARGE = {f"key-{number}": "x" * 1_000 for number in range(32)}
TICKETS = 20
"""With events of 34 KB: far more than gRPC reads ahead."""


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "SWEEP_S", 0.01)


async def failed(slad: Slad, channel: grpc.aio.Channel, method: str, code: str) -> None:
    """Waits until a call of a method has failed with a code."""
    debug: Any = debug_pb2_grpc.SlaDebugStub(channel)
    async with asyncio.timeout(30):
        while True:
            internals = await debug.GetSlaInternals(debug_pb2.GetSlaInternalsRequest())
            if any(call.rpc == method and call.failed.get(code) for call in internals.calls):
                return


@asynccontextmanager
async def deaf(slad: Slad) -> AsyncIterator[Any]:
    """A client who reads nothing ahead."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(slad.daemon.addresses[0], options=options) as channel:
        yield sla_backend_pb2_grpc.SlaBackendStub(channel)


async def unread_watch(backend: Any, **options: Any) -> Any:
    watch = backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0), **options)
    await watch.initial_metadata()
    return watch


async def read_on(watch: Any) -> tuple[int, str]:
    """How many events it still had, and why it ended."""
    events = 0
    try:
        async with asyncio.timeout(30):
            async for reply in watch:
                events += len(reply.events)
    except grpc.aio.AioRpcError as error:
        return events, refusal(error).reason
    return events, ""


@pytest.mark.parametrize(
    "limits",
    [LimitSettings(unread_time_ms=1_000), LimitSettings(unread_bytes=1_048_576)],
    ids=["too long", "too much"],
)
async def test_a_stream_that_nobody_reads_ends_with_a_reason(tmp_path: Path, limits: LimitSettings) -> None:
    async with slad_running(tmp_path, limits=limits) as slad:
        for number in range(TICKETS):
            await slad.start(f"T-{number}", attributes=LARGE)
        async with deaf(slad) as backend:
            # Together they hold more than they may.
            watches = [await unread_watch(backend) for _ in range(40)]
            await failed(slad, slad.channel, "WatchSlaEvents", "UNAVAILABLE")
            events, reason = await read_on(watches[0])
            assert reason == "NOT_READ"
            assert 0 < events < TICKETS, "the rest is read by the next watch"
            assert len(await slad.events()) == TICKETS, "who reads gets all"
            for watch in watches:
                watch.cancel()


async def test_a_stream_that_nobody_reads_ends_with_its_token(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        made = await create(local)
        for number in range(TICKETS):
            await slad.backend.StartSlaTracking(_start(number), **bearer(made.secret))
        async with deaf(slad) as backend:
            watch = await unread_watch(backend, **bearer(made.secret))
            revoke = tokens_pb2.RevokeSlaTokenRequest(token_id=made.token.token_id)
            await tokens_pb2_grpc.SlaTokensStub(local).RevokeSlaToken(revoke)
            await failed(slad, local, "WatchSlaEvents", "UNAUTHENTICATED")
            events, reason = await read_on(watch)
            assert reason == "TOKEN_INVALID"
            assert events < TICKETS


async def test_who_has_no_token_is_refused_before_the_request_has_arrived(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        await create(local)
        stranger = await Connection.open(slad.daemon.addresses[0])
        stream = stranger.call(START)
        await stranger.send(stream, message(b"\0" * 1_000)[:500])
        await asyncio.wait_for(stranger.until_ended(stream), 30)
        await failed(slad, local, "StartSlaTracking", "UNAUTHENTICATED")
        await stranger.close()


async def test_a_request_that_does_not_arrive_is_refused(tmp_path: Path) -> None:
    async with slad_running(tmp_path, limits=LimitSettings(receive_time_ms=1_000)) as slad:
        slow = await Connection.open(slad.daemon.addresses[0])
        stream = slow.call(START)
        await slow.send(stream, message(b"\0" * 1_000)[:500])
        await asyncio.wait_for(slow.until_ended(stream), 30)
        await failed(slad, slad.channel, "StartSlaTracking", "RESOURCE_EXHAUSTED")
        assert (await slad.start()).created, "others are served"
        await slow.close()


async def test_requests_that_arrive_slowly_may_hold_so_much(tmp_path: Path) -> None:
    limits = LimitSettings(receive_bytes=1_048_576, message_bytes=1_048_576)
    async with slad_running(tmp_path, limits=limits) as slad:
        slow = await Connection.open(slad.daemon.addresses[0])
        streams = [slow.call(START) for _ in range(2)]
        for stream in streams:
            await slow.send(stream, message(b"\0" * 1_000)[:500])
        await asyncio.wait_for(slow.until_ended(streams[0]), 30)
        assert slow.is_open(streams[1]), "the younger one is within the bound"
        await slow.close()


async def test_a_call_without_a_request_is_told_so(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        empty = await Connection.open(slad.daemon.addresses[0])
        stream = empty.call(START)
        await empty.end(stream)
        await asyncio.wait_for(empty.until_ended(stream), 30)
        await failed(slad, slad.channel, "StartSlaTracking", "INVALID_ARGUMENT")
        await empty.close()


def _start(number: int) -> rpc.StartSlaTrackingRequest:
    request = rpc.StartSlaTrackingRequest(tenant_id="acme", ticket_id=f"T-{number}", attributes=LARGE)
    request.targets.add(response_time_minutes=60, is_24x7=True)
    return request
