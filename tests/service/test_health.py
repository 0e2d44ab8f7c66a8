"""grpc.health.v1: needs no token, tells who asks and who watches, and no watcher holds up another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slad.config.settings import LimitSettings
from slad.core.errors import Refused
from slad.service.health import Health
from tests.slad_under_test import Slad, bearer, refusal, refused, slad_running, trusted
from tests.system.security.test_tokens import create
from tests.trials.abuse.http2 import DATA, END_STREAM, Connection, frame, message

SERVING, NOT_SERVING, UNKNOWN = (
    health_pb2.HealthCheckResponse.ServingStatus.Value(name)
    for name in ("SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
)


def asks(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


def stub(slad: Slad) -> Any:
    return health_pb2_grpc.HealthStub(slad.channel)


def status(body: bytes) -> int:
    return health_pb2.HealthCheckResponse.FromString(body).status


async def test_it_tells_who_has_no_token(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        await create(local)
        for service in ("", "slad.v1.SlaBackend"):
            assert (await stub(slad).Check(asks(service))).status == SERVING
        unknown = await refused(stub(slad).Check(asks("slad.v1.SlaNothing")))
        assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "SERVICE_NOT_FOUND")
        watch = stub(slad).Watch(asks("slad.v1.SlaNothing"))
        assert (await watch.read()).status == UNKNOWN
        watch.cancel()


async def test_watchers_hear_of_changes_and_of_the_end() -> None:
    health, context = Health(), None
    health.set(("", "a"), serving=True)
    watches = [health.Watch(asks("a"), context) for _ in range(2)]
    assert [status(await anext(watch)) for watch in watches] == [SERVING, SERVING]
    waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await asyncio.sleep(0)
    health.set(("a",), serving=True)
    await asyncio.sleep(0)
    assert not any(future.done() for future in waiting), "nothing has changed"
    await watches_end(waiting[1:])
    health.set(("a",), serving=False)
    assert status(await waiting[0]) == NOT_SERVING, "also when another watcher has gone"
    health.stop()
    with pytest.raises(Refused) as caught:
        await anext(watches[0])
    assert caught.value.reason == "STOPPING"
    assert status(await health.Check(asks(""))) == NOT_SERVING


async def watches_end(futures: list[asyncio.Future[bytes]]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


async def test_watches_are_bounded_per_connection_and_in_all(tmp_path: Path) -> None:
    limits = LimitSettings(probes=3, probes_per_caller=2)
    async with slad_running(tmp_path, limits=limits) as slad:
        watches = [stub(slad).Watch(asks()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(slad).Watch(asks()).read()
        assert refusal(caught.value).metadata["limit"] == "limits.probes_per_caller"
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(slad.daemon.addresses[0], options=options) as other:
            third = health_pb2_grpc.HealthStub(other).Watch(asks())
            await third.read()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health_pb2_grpc.HealthStub(other).Watch(asks()).read()
            assert refusal(caught.value).metadata["limit"] == "limits.probes"
        for watch in watches:
            watch.cancel()


async def test_a_watcher_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        deaf = await Connection.open(slad.daemon.addresses[0], window=0)
        stream = deaf.call("/grpc.health.v1.Health/Watch")
        await deaf.write(frame(DATA, END_STREAM, stream, message(b"")))
        watch = stub(slad).Watch(asks())
        assert (await watch.read()).status == SERVING
        slad.daemon.request_stop()
        assert (await asyncio.wait_for(watch.read(), 30)).status == NOT_SERVING
        await deaf.close()


async def test_reflection_ends_with_its_token(tmp_path: Path) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: PLC0415
    from slad_client.v1 import tokens_pb2, tokens_pb2_grpc  # noqa: PLC0415

    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        made = await create(local)
        asked: Any = reflection_pb2.ServerReflectionRequest(list_services="")
        reflects: Any = reflection_pb2_grpc.ServerReflectionStub(slad.channel)
        stream = reflects.ServerReflectionInfo(**bearer(made.secret))
        await stream.write(asked)
        assert "slad.v1.SlaBackend" in str(await stream.read())
        revoke = tokens_pb2.RevokeSlaTokenRequest(token_id=made.token.token_id)
        await tokens_pb2_grpc.SlaTokensStub(local).RevokeSlaToken(revoke)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(stream.read(), 30)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
