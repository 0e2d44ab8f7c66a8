"""What a slad lets out that does not hold its lease, which ends because the clock is moved past its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from slad_client.v1 import admin_pb2
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import FenceSettings
from slad.delivery.sinks.sink import Unavailable
from slad.engine.time_source import WallClock
from tests.delivery.sinks.desk import Desk, eventually
from tests.delivery.sinks.test_courier import Puppet, Puppets, puppets
from tests.slad_under_test import Slad, refusal, refused, slad_running

__all__ = ["puppets"]  # a fixture

LEASE_MS = 600_000
"""So long that it is not renewed while a test runs."""

LONG_ENOUGH_S = 0.3
"""For an attempt that should not be made: without the gate one is made every 20 ms."""


class Stepped(WallClock):
    """A clock that can be moved."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


class Fenced:
    """A daemon with a fence and a sink."""

    def __init__(self, slad: Slad, clock: Stepped, puppet: Puppet) -> None:
        self.slad, self.clock, self.puppet = slad, clock, puppet
        self.desk = Desk(slad)

    async def lose_the_lease(self) -> None:
        self.clock.ahead = LEASE_MS
        await self.until(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def hold_it_again(self) -> None:
        self.clock.ahead = 0
        await self.until(health_pb2.HealthCheckResponse.SERVING)

    async def until(self, status: int) -> None:
        stub: Any = health_pb2_grpc.HealthStub(self.slad.channel)
        async for reply in stub.Watch(health_pb2.HealthCheckRequest(service="slad.v1.SlaBackend")):
            if reply.status == status:
                return


@asynccontextmanager
async def fenced_slad(
    folder: Path, puppet: Puppet, prefer: Literal["late", "twice"] = "late"
) -> AsyncIterator[Fenced]:
    clock = Stepped()
    fence = FenceSettings(str(folder / "fence"), LEASE_MS, prefer)
    sinks = {"s": Puppets(puppet=puppet, attempts=1_000)}
    async with slad_running(folder / "data", now=None, clock=clock, fence=fence, sinks=sinks) as slad:
        yield Fenced(slad, clock, puppet)


def raises(error: Exception) -> Callable[[Sequence[pb.SlaEvent]], None]:
    def behave(_: Sequence[pb.SlaEvent]) -> None:
        raise error

    return behave


async def test_a_sink_keeps_its_backlog_until_the_lease_is_held_again(tmp_path: Path) -> None:
    puppet = Puppet()
    puppet.behave = raises(Unavailable("not now"))
    async with fenced_slad(tmp_path, puppet) as one:
        await one.desk.tickets("A", "B", "C")
        await one.desk.until(failures=lambda failures: failures > 0)
        await one.lose_the_lease()
        puppet.behave = lambda events: None
        attempts = len(puppet.batches)
        await asyncio.sleep(LONG_ENOUGH_S)
        assert (len(puppet.batches), puppet.got) == (attempts, [])
        assert (await one.desk.sink()).lag == 3

        await one.hold_it_again()
        await one.desk.until(lag=0)
        assert puppet.got == [1, 2, 3]


async def test_what_was_delivered_as_the_lease_ended_is_not_delivered_again(tmp_path: Path) -> None:
    puppet = Puppet()
    async with fenced_slad(tmp_path, puppet) as one:

        def behave(_: Sequence[pb.SlaEvent]) -> None:
            one.clock.ahead = LEASE_MS

        puppet.behave = behave
        await one.desk.tickets("A")
        await one.lose_the_lease()
        await asyncio.sleep(LONG_ENOUGH_S)
        puppet.behave = lambda events: None
        await one.hold_it_again()
        await one.desk.tickets("B")
        await one.desk.until(lag=0)
    assert puppet.got == [1, 2]


async def test_a_sink_that_is_amid_its_backlog_stops_when_the_lease_ends(tmp_path: Path) -> None:
    tickets = [f"T-{number}" for number in range(5 * Puppet.batch)]
    puppet = Puppet()
    puppet.behave = raises(Unavailable("not now"))
    async with fenced_slad(tmp_path, puppet) as one:

        def behave(_: Sequence[pb.SlaEvent]) -> None:
            if len(puppet.got) >= Puppet.batch:
                one.clock.ahead = LEASE_MS

        await one.desk.tickets(*tickets)
        puppet.behave = behave
        await one.until(health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.sleep(LONG_ENOUGH_S)
        assert len(puppet.got) <= 3 * Puppet.batch, "nothing but the attempt in which it ended"

        puppet.behave = lambda events: None
        await one.hold_it_again()
        await one.desk.until(lag=0)
    assert puppet.got == list(range(1, len(tickets) + 1))


async def test_watches_end_and_no_new_one_begins(tmp_path: Path) -> None:
    async with fenced_slad(tmp_path, Puppet()) as one:
        await one.desk.tickets("A")
        requests = [
            rpc.WatchSlaEventsRequest(after_sequence=0),
            rpc.WatchSlaEventsRequest(),
            rpc.WatchSlaEventsRequest(consumer="psa"),
        ]
        calls = [one.slad.backend.WatchSlaEvents(request) for request in requests]
        heard: list[list[int]] = [[] for _ in calls]

        async def listen(call: Any, sequences: list[int]) -> None:
            async for reply in call:
                sequences += [event.sequence for event in reply.events]

        listening = [asyncio.create_task(listen(*each)) for each in zip(calls, heard, strict=True)]
        await calls[1].initial_metadata()
        await eventually(lambda: heard[0] and heard[2])
        await one.lose_the_lease()
        for ended in await asyncio.wait_for(asyncio.gather(*listening, return_exceptions=True), 30):
            assert isinstance(ended, grpc.aio.AioRpcError)
            told = refusal(ended)
            assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "FENCED")
            assert told.message.startswith("this slad may not serve: the lease could not be renewed since ")
        assert heard == [[1], [], [1]]
        for request in requests:
            assert (await refused(one.slad.backend.WatchSlaEvents(request).read())).reason == "FENCED"

        await one.hold_it_again()
        call = one.slad.backend.WatchSlaEvents(requests[2])
        assert (await call.read()).events[0].sequence == 1
        call.cancel()


async def test_watches_end_also_of_one_that_could_not_write_before(tmp_path: Path) -> None:
    async with fenced_slad(tmp_path, Puppet()) as one:
        watch = one.slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest())
        await watch.initial_metadata()
        (tmp_path / "data" / "slad.db").rename(tmp_path / "moved")
        await one.until(health_pb2.HealthCheckResponse.NOT_SERVING)
        one.clock.ahead = LEASE_MS
        assert (await asyncio.wait_for(refused(watch.read()), 30)).reason == "FENCED"


async def test_who_prefers_twice_lets_everything_out(tmp_path: Path) -> None:
    puppet = Puppet()
    async with fenced_slad(tmp_path, puppet, prefer="twice") as one:
        watch = one.slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(after_sequence=0))
        one.clock.ahead = LEASE_MS
        await one.desk.tickets("A")
        assert (await watch.read()).events[0].ticket_id == "A"
        await one.desk.until(lag=0)
        assert puppet.got == [1]
        watch.cancel()


async def test_a_fenced_slad_answers_and_stops(tmp_path: Path) -> None:
    """It says how things stand, takes no replay, and ends at once although its sink waits."""
    puppet = Puppet()
    puppet.behave = raises(Unavailable("not now"))
    async with fenced_slad(tmp_path, puppet) as one:
        await one.desk.tickets("A")
        await one.lose_the_lease()
        status = await one.slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(ticket_id="A"))
        assert status.status.ticket_id == "A"
        told = await refused(one.slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="A", reason=1)))
        assert told.reason == "FENCED"
        sinks = await one.desk.admin.ListSlaSinks(admin_pb2.ListSlaSinksRequest())
        assert [sink.lag for sink in sinks.sinks] == [1]
