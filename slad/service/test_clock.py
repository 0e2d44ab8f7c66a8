"""The TestClock service: virtual time for a PSA's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from slad_client.v1 import test_clock_pb2 as rpc

from slad.core.errors import InvalidField
from slad.core.instants import MAX_INSTANT_MS
from slad.engine.time_source import TimeSource
from slad.service import requests

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp


class Advancing(Protocol):
    """What can move virtual time."""

    async def advance(self, target: int) -> int:
        """Moves it to `target` (UTC epoch ms), through all that falls due; the number of events committed."""
        ...


class TestClock:
    """The methods of `slad.v1.TestClock`."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, engine: Advancing, clock: TimeSource) -> None:
        self._engine = engine
        self._clock = clock

    async def GetTime(self, request: rpc.GetTimeRequest) -> bytes:
        """The present instant of virtual time."""
        reply = rpc.GetTimeResponse()
        self._tell(reply.now)
        return reply.SerializeToString()

    async def AdvanceTime(self, request: rpc.AdvanceTimeRequest) -> bytes:
        """Moves time forward; returns when all that falls due is committed."""
        target = requests.instant(request, "to")
        by = requests.duration_ms(request, "by")
        if target is None:
            if by is None:
                raise InvalidField("to", "REQUIRED", "say how far, with `to` or `by`")
            target = self._clock.now() + by
        if target > MAX_INSTANT_MS:
            raise InvalidField("by", "OUT_OF_RANGE", "past the year 9999")
        reply = rpc.AdvanceTimeResponse(events_committed=await self._engine.advance(target))
        self._tell(reply.now)
        return reply.SerializeToString()

    def _tell(self, now: Timestamp) -> None:
        now.FromMilliseconds(self._clock.now())
