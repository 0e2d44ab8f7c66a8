"""What becomes of calls that may last when slad stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.core.access import TRUSTED
from slad.engine.time_source import VirtualClock
from slad.service.bulk import Bulk
from slad.service.fields import Fields
from slad.service.heavy_steps import HeavySteps
from slad.service.requests import RequestReader
from tests.service.importing import row
from tests.slad_under_test import MONDAY_9, refused, slad_running


async def test_bulk_calls_end_at_once_when_slad_stops(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        importing, reconciling = slad.backend.ImportSlaTrackings(), slad.backend.ReconcileSlaTrackings()
        await importing.write(rpc.ImportSlaTrackingsRequest(trackings=[row("T-1")]))
        await reconciling.write(rpc.ReconcileSlaTrackingsRequest(tenant_id="acme"))
        await reconciling.initial_metadata()
        slad.daemon.request_stop()
        for call in (importing, reconciling):
            got = await refused(call)
            assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")


async def test_what_waits_of_an_import_is_taken_back_when_nobody_waits_for_it(tmp_path: Path) -> None:
    """So that a stop, and the others, need not wait for it either."""
    given: list[Sequence[Any]] = []
    all_given = asyncio.Event()

    class Engine:
        def put(self, line: object, commands: Sequence[Any]) -> asyncio.Future[Any]:
            given.append(commands)
            if len(given) == 4:
                all_given.set()
            return asyncio.get_running_loop().create_future()

    async def stream() -> AsyncIterator[rpc.ImportSlaTrackingsRequest]:
        yield rpc.ImportSlaTrackingsRequest(trackings=[row(f"T-{number}") for number in range(100)])

    bulk = Bulk(
        RequestReader(Fields()), cast(Any, Engine()), cast(Any, None), HeavySteps(), VirtualClock(MONDAY_9)
    )
    taking = asyncio.create_task(bulk.take(stream(), TRUSTED))
    await all_given.wait()
    assert all(given)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert not any(given)
