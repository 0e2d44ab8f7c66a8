"""A refused call leaves nothing large to the garbage collector: neither its request nor the engine's turn.

gRPC keeps the frames of a call that was aborted in a cycle; what those refer to would live on with them.
"""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.engine.unit_of_work import UnitOfWork
from slad.storage.rows import Batch
from tests.slad_under_test import slad_running, start_request

LARGE = 10_000
"""Characters in a request, so that its bytes are told from all others."""

WRONG = start_request("T" * LARGE)
PAUSE = rpc.PauseSlaRequest(tenant_id="acme", ticket_id="nobody's", reason=1)
STATUS = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id="nobody's")
TIMELINE = rpc.GetSlaTimelineRequest(tenant_id="acme", ticket_id="nobody's")
WATCH = rpc.WatchSlaEventsRequest(consumer="C" * LARGE)
EXECUTE = rpc.ExecuteSlaRequest(commands=[rpc.SlaCommand(start=WRONG), rpc.SlaCommand(pause=PAUSE)])
IMPORT = rpc.ImportSlaTrackingsRequest(trackings=[rpc.SlaTrackingImport(start=WRONG)])


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("StartSlaTracking", WRONG),
        ("PauseSla", PAUSE),
        ("GetSlaStatus", STATUS),
        ("GetSlaTimeline", TIMELINE),
        ("WatchSlaEvents", WATCH),
        ("ImportSlaTrackings", IMPORT),
        ("ExecuteSla", EXECUTE),
    ],
)
async def test_of_refused_calls_nothing_large_is_left(method: str, request_: Message, tmp_path: Path) -> None:
    # The caller, who is of the same process, has nothing but bytes: what is found is the daemon's.
    body = request_.SerializeToString()
    path = f"/slad.v1.SlaBackend/{method}"

    async def call(channel: grpc.aio.Channel) -> None:
        if method == "ImportSlaTrackings":
            reply = await channel.stream_unary(path)(iter([body]))
            assert rpc.ImportSlaTrackingsResponse.FromString(reply).rejected_count == 1
            return
        if method == "ExecuteSla":
            replies = [reply async for reply in channel.stream_stream(path)(iter([body]))]
            assert [r.HasField("error") for r in rpc.ExecuteSlaResponse.FromString(replies[0]).results] == [
                True,
                True,
            ]
            return
        is_watch = method == "WatchSlaEvents"
        answer = channel.unary_stream(path)(body).read() if is_watch else channel.unary_unary(path)(body)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)

    async with slad_running(tmp_path) as slad:
        await slad.start()
        await call(slad.channel)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await call(slad.channel)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = Counter(
                type(found).__name__
                for thing in gc.garbage
                for found in (thing, *gc.get_referents(thing))
                if isinstance(found, Message | UnitOfWork | Batch)
                or (isinstance(found, bytes | str) and len(found) >= LARGE and found is not body)
            )
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not left
