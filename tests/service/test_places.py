"""Calls that last have places: some in all, and of those a caller has a share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.config.settings import LimitSettings
from tests.slad_under_test import Slad, bearer, refusal, slad_running, trusted
from tests.system.security.test_tokens import create

LIMITS = LimitSettings(bulk_calls=3, bulk_calls_per_caller=2, watches=3, watches_per_caller=2)


async def list_of(tenant: str, until: asyncio.Event) -> AsyncIterator[rpc.ReconcileSlaTrackingsRequest]:
    yield rpc.ReconcileSlaTrackingsRequest(tenant_id=tenant)
    await until.wait()


@asynccontextmanager
async def reconciling(slad: Slad, secret: str, tenant: str) -> AsyncIterator[Any]:
    """A reconciliation that lasts until the block ends."""
    until = asyncio.Event()
    call = slad.backend.ReconcileSlaTrackings(list_of(tenant, until), **bearer(secret))
    await call.initial_metadata()
    try:
        yield call
    finally:
        until.set()
        await call


async def full(call: Any) -> tuple[grpc.StatusCode, str, str, float]:
    """How it is refused: code, reason, which limit, seconds to wait."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    retry = error_details_pb2.RetryInfo()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(retry)
    what = refusal(caught.value)
    return what.code, what.reason, what.metadata["limit"], retry.retry_delay.seconds


async def test_bulk_calls_are_bounded_by_tenant_and_in_all(tmp_path: Path) -> None:
    async with slad_running(tmp_path, limits=LIMITS) as slad, trusted(tmp_path) as local:
        one = (await create(local, tenant_ids=["acme"])).secret
        same = (await create(local, tenant_ids=["acme"])).secret
        other = (await create(local, tenant_ids=["globex"])).secret

        def export(secret: str) -> Any:
            return slad.backend.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest(), **bearer(secret)).read()

        async with reconciling(slad, one, "acme"):
            async with reconciling(slad, same, "acme"):
                exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
                of_caller = (exhausted, "TOO_MANY_STREAMS", "limits.bulk_calls_per_caller", 5)
                assert await full(export(one)) == of_caller, "another token of the tenant's has its places"
                async with reconciling(slad, other, "globex"):
                    in_all = (exhausted, "TOO_MANY_STREAMS", "limits.bulk_calls", 5)
                    assert await full(export(other)) == in_all
                assert await export(other) is grpc.aio.EOF, "a place is free again"
            assert await export(one) is grpc.aio.EOF


async def test_without_a_token_a_connection_is_the_caller(tmp_path: Path) -> None:
    async with slad_running(tmp_path, limits=LIMITS) as slad:
        watches = [slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest()) for _ in range(2)]
        for watch in watches:
            await watch.initial_metadata()
        third = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest())
        assert (await full(third.read()))[1:3] == ("TOO_MANY_STREAMS", "limits.watches_per_caller")
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(slad.daemon.addresses[0], options=options) as channel:
            backend: Any = type(slad.backend)(channel)
            third = backend.WatchSlaEvents(rpc.WatchSlaEventsRequest())
            await third.initial_metadata()
            assert (await full(backend.WatchSlaEvents(rpc.WatchSlaEventsRequest()).read()))[
                2
            ] == "limits.watches"
            third.cancel()
        for watch in watches:
            watch.cancel()


async def test_a_bulk_call_is_bounded_in_time_as_a_whole(tmp_path: Path) -> None:
    async with slad_running(tmp_path, limits=LimitSettings(bulk_time_ms=50)) as slad:
        never = asyncio.Event()
        call = slad.backend.ReconcileSlaTrackings(list_of("acme", never))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert (refusal(caught.value).code, refusal(caught.value).reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CALL_TOO_LONG",
        )
