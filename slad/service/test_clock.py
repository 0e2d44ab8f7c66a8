"""The TestClock service: virtual time for a PSA's own tests."""

from __future__ import annotations

from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from slad_client.v1 import test_clock_pb2 as rpc

from slad.core.errors import InvalidField
from slad.core.instants import MAX_INSTANT_MS
from slad.engine.time_source import TimeSource
from slad.service.fields import duration_ms, instant


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
        return rpc.GetTimeResponse(now=self._now()).SerializeToString()

    async def AdvanceTime(self, request: rpc.AdvanceTimeRequest) -> bytes:
        """Moves time forward; returns when all that falls due is committed."""
        target = instant(request, "to")
        by = duration_ms(request, "by")
        if target is None:
            if by is None:
                raise InvalidField("to", "REQUIRED", "give `to` or `by`")
            target = self._clock.now() + by
        if target > MAX_INSTANT_MS:
            raise InvalidField("by", "OUT_OF_RANGE", "past the year 9999")
        committed = await self._engine.advance(target)
        return rpc.AdvanceTimeResponse(events_committed=committed, now=self._now()).SerializeToString()

    def _now(self) -> Timestamp:
        now = Timestamp()
        now.FromMilliseconds(self._clock.now())
        return now
