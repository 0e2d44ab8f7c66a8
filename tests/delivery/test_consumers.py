"""Durable consumers (E1, E2): at least once, in order, stand-by, acknowledgement, far behind, filters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import LimitSettings
from slad.core.errors import Refused
from slad.delivery import consumers, hub
from slad.delivery.consumers import Consumers
from slad.delivery.hub import EventHub
from slad.engine.time_source import VirtualClock
from tests.slad_under_test import Slad, refusal, refused, slad_running, target, told


class Watcher:
    """One stream, read event by event."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.waiting: list[pb.SlaEvent] = []

    async def next(self) -> pb.SlaEvent:
        while not self.waiting:
            reply = await asyncio.wait_for(self.call.read(), 30)
            assert 0 < len(reply.events) <= 512
            self.waiting.extend(reply.events)
        return self.waiting.pop(0)

    async def tickets(self, count: int) -> list[str]:
        return [(await self.next()).ticket_id for _ in range(count)]


@asynccontextmanager
async def watching(slad: Slad, consumer: str = "psa", **fields: Any) -> AsyncIterator[Watcher]:
    call = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer=consumer, **fields))
    await call.initial_metadata()
    try:
        yield Watcher(call)
    finally:
        call.cancel()


async def ack(slad: Slad, sequence: int, consumer: str = "psa") -> None:
    await slad.backend.AckSlaEvents(rpc.AckSlaEventsRequest(consumer=consumer, sequence=sequence))


async def start(slad: Slad, *names: str, **fields: Any) -> None:
    for name in names:
        await slad.start(name, **fields)


async def test_a_new_consumer_begins_with_the_oldest_event_and_goes_on_live(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "A", "B")
        async with watching(slad) as watcher:
            assert await watcher.tickets(2) == ["A", "B"]
            await start(slad, "C")
            event = await watcher.next()
            assert (event.ticket_id, event.sequence) == ("C", 3)


async def test_a_new_consumer_may_begin_later(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "A", "B")
        async with watching(slad, after_sequence=1) as watcher:
            assert await watcher.tickets(1) == ["B"]
        async with watching(slad, after_sequence=0) as watcher:
            assert await watcher.tickets(1) == ["B"], "it is remembered"


async def test_what_was_not_acknowledged_comes_again_with_the_same_id_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "A", "B", "C")
        async with watching(slad) as watcher:
            first = [await watcher.next() for _ in range(3)]
        await ack(slad, first[0].sequence)
        async with watching(slad) as watcher:
            assert [await watcher.next() for _ in range(2)] == first[1:]
    async with slad_running(tmp_path) as slad:
        async with watching(slad) as watcher:
            assert [await watcher.next() for _ in range(2)] == first[1:]
        await ack(slad, first[2].sequence)
        async with watching(slad) as watcher:
            await start(slad, "D")
            assert await watcher.tickets(1) == ["D"]


async def test_an_acknowledgement_of_before_a_restart_is_taken_after_it(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "A")
        async with watching(slad) as watcher:
            await watcher.next()
    async with slad_running(tmp_path) as slad:
        await ack(slad, 1)
        await ack(slad, 1)


async def test_three_replicas_one_is_live_and_the_next_takes_over_at_the_acknowledgement(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "A", "B", "C")
        async with watching(slad) as second_in_line:
            # The first replica connects first; what matters is that exactly one is served.
            assert await second_in_line.tickets(3) == ["A", "B", "C"]
            async with watching(slad) as standby, watching(slad) as last:
                await ack(slad, 2)
                waiting = asyncio.create_task(standby.next())
                also = asyncio.create_task(last.next())
                await start(slad, "D")
                assert await second_in_line.tickets(1) == ["D"]
                assert not waiting.done()
                second_in_line.call.cancel()
                assert (await waiting).ticket_id == "C", "from the acknowledgement on"
                assert not also.done()
                standby.call.cancel()
                assert (await also).ticket_id == "C"


async def test_consumers_do_not_disturb_each_other(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "A", "B")
        async with watching(slad, "one") as one, watching(slad, "two") as two:
            await one.next()
            await ack(slad, 1, "one")
            assert await two.tickets(2) == ["A", "B"]
        got = await refused(ack(slad, 2, "three"))
        assert got.reason == "CONSUMER_NOT_FOUND"


async def test_a_look_begins_now_or_where_it_is_told_and_is_forgotten(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        await start(slad, "A", "B")
        async with watching(slad, "") as live, watching(slad, "", after_sequence=1) as from_one:
            await start(slad, "C")
            assert await live.tickets(1) == ["C"]
            assert await from_one.tickets(2) == ["B", "C"]


async def test_filters_by_tenant_and_type(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        fields = {
            "tenant_id": "globex",
            "types": [pb.SLA_EVENT_TYPE_STARTED, pb.SLA_EVENT_TYPE_THRESHOLD_REACHED],
        }
        async with watching(slad, **fields) as watcher:
            await slad.start("A")
            await slad.start("B", tenant_id="globex", targets=[target(60, None, (0, 0, 0))])
            ids = {"tenant_id": "globex", "ticket_id": "B"}
            await slad.backend.PauseSla(rpc.PauseSlaRequest(reason=1, **ids))
            await slad.backend.ResumeSla(rpc.ResumeSlaRequest(**ids))
            await slad.advance(minutes=30)
            assert told([await watcher.next() for _ in range(2)]) == ["STARTED", "RESPONSE 50 REACHED"]


async def test_a_watcher_far_behind_reads_from_disk_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "TAIL", 16)
    async with slad_running(tmp_path) as slad, watching(slad) as watcher:
        await watcher_sees(slad, watcher, 0, 40)
        await watcher_sees(slad, watcher, 40, 700)


async def watcher_sees(slad: Slad, watcher: Watcher, begin: int, end: int) -> None:
    names = [f"T-{n}" for n in range(begin, end)]
    await asyncio.gather(*(slad.start(name) for name in names))
    events = [await watcher.next() for _ in names]
    assert [e.sequence for e in events] == list(range(begin + 1, end + 1))
    assert {e.ticket_id for e in events} == set(names)


async def test_a_stop_ends_streams_also_those_that_stand_by_so_that_clients_come_again(
    tmp_path: Path,
) -> None:
    async with slad_running(tmp_path) as slad:
        live = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        standby = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        await live.initial_metadata()
        await standby.initial_metadata()
        slad.daemon.request_stop()
        for call in (live, standby):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(call.read(), 30)
            assert refusal(caught.value).reason == "STOPPING"


async def test_streams_are_bounded_per_consumer_and_in_all(tmp_path: Path) -> None:
    limits = LimitSettings(consumer_streams=2, watches=3)
    async with slad_running(tmp_path, limits=limits) as slad, watching(slad), watching(slad):
        third = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest(consumer="psa"))
        assert (await refused(third.read())).reason == "TOO_MANY_STREAMS"
        async with watching(slad, "other"):
            look = slad.backend.WatchSlaEvents(rpc.WatchSlaEventsRequest())
            assert (await refused(look.read())).reason == "TOO_MANY_STREAMS"


class HeldUp:
    """Stands in for the engine: what it is given is durable when the test says so."""

    def __init__(self) -> None:
        self.asked, self.durable = asyncio.Event(), asyncio.Event()

    async def write(self, run: Any) -> None:
        self.asked.set()
        await self.durable.wait()

    async def lose_caller(self, call: Any) -> None:
        """Lets a call's caller go away while its change is on its way to the disk."""
        self.asked.clear()
        self.durable.clear()
        calling = asyncio.ensure_future(call)
        await self.asked.wait()
        calling.cancel()
        await asyncio.wait({calling})
        assert calling.cancelled()
        self.durable.set()
        for _ in range(10):
            await asyncio.sleep(0)


async def test_what_is_durable_is_known_even_if_its_caller_went_away() -> None:
    async def read_page(after: int, limit: int) -> list[Any]:
        return []

    async def owed(sequence: int) -> int:
        return 0

    engine: Any = HeldUp()
    readers = Consumers([], engine, EventHub(20, read_page), VirtualClock(0))
    await engine.lose_caller(anext(readers.stream("psa", 20, lambda event: True)))
    (view,) = await readers.views(owed)
    assert (view.name, view.acknowledged, view.streams) == ("psa", 20, 0)
    readers._consumers["psa"].sent = 25
    await engine.lose_caller(readers.acknowledge("psa", 25))
    (view,) = await readers.views(owed)
    assert view.acknowledged == 25
    await engine.lose_caller(readers.remove("psa"))
    assert await readers.views(owed) == []


async def test_consumers_of_some_tenants_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MAX_CONSUMERS", 4)
    monkeypatch.setattr(consumers, "MAX_CONSUMERS_OF_TENANTS", 2)
    engine: Any = HeldUp()
    engine.durable.set()

    async def read_page(after: int, limit: int) -> list[Any]:
        return []

    readers = Consumers([], engine, EventHub(0, read_page), VirtualClock(0))
    acme, globex = frozenset({"acme"}), frozenset({"globex"})

    async def is_made(name: str, tenants: frozenset[str] | None) -> bool:
        reading = asyncio.ensure_future(anext(readers.stream(name, None, lambda event: True, tenants)))
        for _ in range(20):
            await asyncio.sleep(0)
        reading.cancel()
        try:
            await reading
        except asyncio.CancelledError:
            return True
        except Refused:
            return False
        raise AssertionError("a stream has no end of its own")

    assert [await is_made(name, acme) for name in "abc"] == [True, True, False]
    assert [await is_made(name, globex) for name in "def"] == [True, True, False]
    assert await is_made("a", acme), "one that there is goes on"
    assert not await is_made("g", None), "in all"
