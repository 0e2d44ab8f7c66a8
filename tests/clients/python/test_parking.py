"""The parking lot of a consumer: events whose handlers keep failing, and what waits behind them."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from slad_client import ParkedEvent, parked_from_json, parked_to_json
from slad_client.v1 import types_pb2 as pb

from tests.clients.python.conftest import Client, Connect
from tests.clients.python.consumer import Consumer, Table, acknowledged, until, until_acknowledged
from tests.slad_under_test import Slad, target


class Desk:
    """What a PSA does with events: it fails on some tickets, and notes the others."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.done: list[tuple[str, int]] = []

    def deal(self, event: pb.SlaEvent) -> None:
        if event.ticket_id in self.broken:
            raise ValueError(f"{event.ticket_id} is poison")
        self.done.append((event.ticket_id, event.sequence))

    def of(self, ticket_id: str) -> list[int]:
        return [sequence for ticket, sequence in self.done if ticket == ticket_id]


@asynccontextmanager
async def consuming(client: Client, desk: Desk, lot: Table) -> AsyncIterator[Consumer]:
    """A consumer that runs for a while."""
    consumer = Consumer(client, lot=lot)
    consumer.on("any", desk.deal)
    running = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        await client.close()
        await running


def told(parked: list[ParkedEvent]) -> list[tuple[str, int, int]]:
    return [(one.event.ticket_id, one.event.sequence, one.attempts) for one in parked]


async def start(slad: Slad, *tickets: str) -> None:
    for ticket in tickets:
        await slad.start(ticket, targets=[target(60, None, (0, 0, 0))], notification_thresholds=[50, 75])


async def test_what_keeps_failing_is_parked_with_all_that_follows_and_other_tickets_go_on(
    connect: Connect, slad: Slad
) -> None:
    await start(slad, "A", "B")
    await slad.advance(minutes=31)
    desk, lot = Desk("A"), Table()
    async with consuming(connect(slad.daemon.addresses[0]), desk, lot) as consumer:
        await until(lambda: desk.of("B") == [2, 4])
        await until(lambda: len(lot.rows) == 2)
        parked = await consumer.call("parked")
        assert told(parked) == [("A", 1, 3), ("A", 3, 0)]
        assert "ValueError: A is poison" in parked[0].error
        assert parked[1].error == ""
        assert await consumer.call("retry_parked") == 0
        assert told(await consumer.call("parked")) == [("A", 1, 4), ("A", 3, 0)]
        await until_acknowledged(slad, 4)  # the lot is as durable as the work

    # Another replica knows of them, too: the next event waits behind the others.
    await slad.advance(minutes=15)
    async with consuming(connect(slad.daemon.addresses[0]), desk, lot) as heir:
        await until(lambda: desk.of("B") == [2, 4, 6] and len(lot.rows) == 3)
        assert told(await heir.call("parked")) == [("A", 1, 4), ("A", 3, 0), ("A", 5, 0)]
        desk.broken.clear()
        first = (await heir.call("parked"))[0].event.event_id
        assert await heir.call("retry_parked", first) == 3
        assert await heir.call("parked") == []
        await slad.advance(minutes=15)
        await until(lambda: desk.of("A") == [1, 3, 5, 7])


async def test_a_retry_names_one_ticket_and_leaves_the_others(client: Client, slad: Slad) -> None:
    await start(slad, "A", "B", "C")
    desk, lot = Desk("A", "B"), Table()
    async with consuming(client, desk, lot) as consumer:
        await until(lambda: desk.of("C") == [3])
        desk.broken.clear()
        parked = await consumer.call("parked")
        assert await consumer.call("retry_parked", "of no event") == 0
        assert await consumer.call("retry_parked", parked[1].event.event_id) == 1
        assert told(await consumer.call("parked")) == [("A", 1, 3)]
    assert desk.done == [("C", 3), ("B", 2)]


async def test_handlers_that_have_returned_are_not_called_again_also_not_after_a_restart(
    connect: Connect, slad: Slad
) -> None:
    calls: list[str] = []
    broken = True

    def first(event: pb.SlaEvent) -> None:
        calls.append("first")

    def shaky(event: pb.SlaEvent) -> None:
        calls.append("shaky")
        if broken:
            raise OSError("the mail server is away")

    def last(event: pb.SlaEvent) -> None:
        calls.append("last")

    lot = Table()
    await start(slad, "A")
    for again in (False, True):
        client = connect(slad.daemon.addresses[0])
        consumer = Consumer(client, lot=lot)
        for function in (first, first, shaky, last):
            consumer.on("any", function)
        running = asyncio.create_task(consumer.run())
        if again:
            broken = False
            assert await consumer.call("retry_parked") == 1
        else:
            await until(lambda: len(lot.rows) == 1)
        await client.close()
        await running
    assert calls == ["first", "first", "shaky", "shaky", "shaky", "shaky", "last"]


async def test_a_lot_that_fails_is_tried_again_and_nothing_is_acknowledged_before(
    connect: Connect, slad: Slad
) -> None:
    await start(slad, "A", "B")
    desk, lot = Desk("A"), Table()
    lot.failures = {"list": 2, "put": 3}
    async with consuming(connect(slad.daemon.addresses[0]), desk, lot):
        await until_acknowledged(slad, 2)
    assert lot.failures == {"list": 0, "put": 0}
    assert len(lot.rows) == 1
    assert desk.of("B") == [2]


async def test_a_client_that_is_closed_while_the_lot_fails_ends_with_its_error(
    connect: Connect, slad: Slad
) -> None:
    await start(slad, "A")
    client, desk, lot = connect(slad.daemon.addresses[0]), Desk("A"), Table()
    lot.failures = {"put": math.inf}
    consumer = Consumer(client, lot=lot)
    consumer.on("any", desk.deal)
    running = asyncio.create_task(consumer.run())
    await until(lambda: lot.tries > 3)
    await client.close()
    with pytest.raises(OSError, match="the database is away"):
        await running
    assert not lot.rows
    assert await acknowledged(slad) == 0


async def test_what_comes_again_after_a_crash_is_left_as_it_is_parked(connect: Connect, slad: Slad) -> None:
    await start(slad, "A", "B")
    desk, lot = Desk("A"), Table()
    # A crash after the event was parked and before it was acknowledged: for slad nothing has happened.
    async with consuming(connect(slad.daemon.addresses[0]), desk, lot):
        await until(lambda: desk.of("B") == [2])
    writes, rows = lot.writes, dict(lot.rows)
    again = Consumer(connect(slad.daemon.addresses[0]), lot=lot)
    again.real._watch.request.consumer = "again"
    again.on("any", desk.deal)
    running = asyncio.create_task(again.run())
    await until(lambda: desk.of("B") == [2, 2])
    await again.client.close()
    await running
    assert (lot.writes, lot.rows) == (writes, rows)


async def test_what_another_process_tried_again_lets_the_ticket_go_on(connect: Connect, slad: Slad) -> None:
    await start(slad, "A")
    desk, lot = Desk("A"), Table()
    async with consuming(connect(slad.daemon.addresses[0]), desk, lot):
        await until(lambda: len(lot.rows) == 1)
        desk.broken.clear()
        elsewhere = Consumer(connect(slad.daemon.addresses[0]), lot=lot)
        elsewhere.on("any", desk.deal)
        assert await elsewhere.call("retry_parked") == 1
        await slad.advance(minutes=31)
        await until(lambda: desk.of("A") == [1, 2])
    assert not lot.rows


async def test_a_replica_that_stood_by_knows_what_the_other_one_parked(connect: Connect, slad: Slad) -> None:
    await start(slad, "A")
    one, other, lot = Desk("A"), Desk(), Table()
    async with consuming(connect(slad.daemon.addresses[0]), one, lot):
        await until(lambda: len(lot.rows) == 1)
        stand_by = consuming(connect(slad.daemon.addresses[0]), other, lot)
        await stand_by.__aenter__()
    await slad.advance(minutes=31)
    await until(lambda: len(lot.rows) == 2)
    assert other.done == [], "the event waits behind the one that is parked"
    await stand_by.__aexit__(None, None, None)


async def test_what_is_discarded_is_gone_and_what_waits_behind_it_stays(client: Client, slad: Slad) -> None:
    await start(slad, "A")
    await slad.advance(minutes=31)
    desk, lot = Desk("A"), Table()
    async with consuming(client, desk, lot) as consumer:
        await until(lambda: len(lot.rows) == 2)
        desk.broken.clear()
        await consumer.call("discard_parked", (await consumer.call("parked"))[0].event.event_id)
        await consumer.call("discard_parked", "of no event")
        assert told(await consumer.call("parked")) == [("A", 2, 0)]
        assert desk.done == []
        assert await consumer.call("retry_parked") == 1
    assert desk.of("A") == [2]


async def test_without_a_lot_there_is_nothing_to_ask_for(connect: Connect) -> None:
    consumer = Consumer(connect("unix:/nowhere"))
    for name, arguments in (("parked", ()), ("retry_parked", ()), ("discard_parked", ("x",))):
        with pytest.raises(ValueError, match=r"^consumer 'psa' has no parking lot$"):
            await consumer.call(name, *arguments)


def test_a_parked_event_is_the_same_after_a_look_into_the_table() -> None:
    event = pb.SlaEvent(
        event_id="7f", sequence=2**60, ticket_id="T-1", type=pb.SLA_EVENT_TYPE_THRESHOLD_REACHED
    )
    event.occurred_at.FromMilliseconds(1_772_442_000_001)
    event.threshold.percent = 50
    event.attributes["board"] = "7"
    parked = ParkedEvent(event, 5, "Traceback …", datetime(2026, 3, 2, 9, 0, 0, 1, UTC), ("on_any deal",))
    text = parked_to_json(parked)
    assert parked_from_json(text) == parked
    later = json.loads(text)
    later["event"]["field_of_a_later_slad"] = 1
    assert parked_from_json(json.dumps(later)) == parked
