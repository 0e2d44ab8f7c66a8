"""Handlers of a durable consumer, the test clock and names of enums: both clients against a daemon."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import slad_client
from slad_client import aio, short_name, sync
from slad_client._handlers import Handlers, is_breach, is_escalation, is_notification
from slad_client.v1 import types_pb2 as pb

from tests.clients.python.conftest import Client, Connect
from tests.clients.python.consumer import Consumer, acknowledged, until
from tests.slad_under_test import OFFICE, Slad, slad_running, target

MONDAY_9 = datetime(2026, 3, 2, 9, tzinfo=UTC)


async def test_each_handler_gets_its_events_in_order(client: Client, slad: Slad) -> None:
    seen: list[tuple[str, str, int]] = []
    consumer = Consumer(client)
    for kind in ("notification", "escalation", "breach", "completed", "retracted"):
        consumer.on(kind, lambda e, kind=kind: seen.append((kind, e.ticket_id, e.threshold.percent)))
    every: list[int] = []
    consumer.on("any", lambda event: every.append(event.sequence))
    await slad.start(targets=[target(60, None, (70, 0, 0))], notification_thresholds=[50])
    await slad.advance(minutes=61)
    await client.complete_sla(ticket_id="T-1", phase="RESPONSE")
    await client.pause_sla(
        ticket_id="T-1", reason="AWAITING_CLIENT", effective_at=MONDAY_9 + timedelta(minutes=45)
    )
    await client.complete_sla(ticket_id="T-1", phase="RESOLUTION")
    running = asyncio.create_task(consumer.run())
    await until(lambda: [kind for kind, _, _ in seen].count("completed") == 2)
    await client.close()
    await running
    assert every == list(range(1, every[-1] + 1))
    assert seen[:4] == [
        ("notification", "T-1", 50),
        ("escalation", "T-1", 70),
        ("notification", "T-1", 100),
        ("breach", "T-1", 100),
    ]
    assert sorted(kind for kind, _, _ in seen[4:]) == ["completed", "completed", "retracted"]


async def test_a_handler_that_fails_is_tried_again_and_those_that_are_done_are_not(
    client: Client, slad: Slad
) -> None:
    calls: list[str] = []

    def shaky(event: pb.SlaEvent) -> None:
        calls.append("shaky")
        if calls.count("shaky") < 3:
            raise OSError("the mail server is away")

    consumer = Consumer(client)
    consumer.on("any", lambda event: calls.append("first"))
    consumer.on("any", shaky)
    await slad.start()
    running = asyncio.create_task(consumer.run())
    await until(lambda: len(calls) == 4)
    await client.close()
    await running
    assert calls == ["first", "shaky", "shaky", "shaky"]


async def test_without_a_parking_lot_run_raises_and_the_event_comes_again(
    connect: Connect, slad: Slad
) -> None:
    await slad.start("T-1")
    await slad.start("T-2")
    seen: list[str] = []

    def fails(event: pb.SlaEvent) -> None:
        seen.append(event.ticket_id)
        if event.ticket_id == "T-2":
            raise ValueError("no such desk")

    consumer = Consumer(connect(slad.daemon.addresses[0]))
    consumer.on("any", fails)
    with pytest.raises(ValueError, match="no such desk"):
        await consumer.run()
    assert seen == ["T-1", "T-2", "T-2", "T-2"]
    assert await acknowledged(slad) == 1


def event(**threshold: Any) -> pb.SlaEvent:
    return pb.SlaEvent(type=pb.SLA_EVENT_TYPE_THRESHOLD_REACHED, threshold=pb.SlaThreshold(**threshold))


def test_a_notification_that_a_higher_one_superseded_is_none() -> None:
    assert is_notification(event(percent=50, notification=True))
    assert not is_notification(event(percent=50, notification=True, notification_superseded=True))
    assert not is_notification(event(percent=70, escalation_level=1))
    assert is_escalation(event(percent=70, escalation_level=1))
    assert is_breach(event(percent=100, breach=True))
    assert not is_breach(pb.SlaEvent(type=pb.SLA_EVENT_TYPE_THRESHOLD_RETRACTED))


def test_a_handler_that_has_to_be_awaited_is_not_for_threads() -> None:
    async def tell(event: pb.SlaEvent) -> None:
        raise AssertionError

    with sync.SladClient("unix:/nowhere") as client:
        consumer = sync.SlaEventConsumer(client, "psa")
        with pytest.raises(TypeError, match=r"on_breach: .*tell.* slad_client\.aio"):
            consumer.on_breach(tell)


def test_a_decorator_gives_the_function_back() -> None:
    handlers: Handlers[Any] = Handlers()

    @handlers.on_breach
    def tell(event: pb.SlaEvent) -> str:
        return event.ticket_id

    assert tell(pb.SlaEvent(ticket_id="T-1")) == "T-1"


# --- the test clock


@pytest.mark.parametrize("kind", ["aio", "sync"])
async def test_the_test_clock(slad: Slad, kind: str) -> None:
    await slad.start(targets=[target(60, None, (0, 0, 0))], notification_thresholds=[50])
    address = slad.daemon.addresses[0]
    if kind == "aio":
        async with aio.SladTestClock(address) as clock:
            assert await clock.now() == MONDAY_9
            assert await clock.advance(timedelta(minutes=31)) == 1
            assert await clock.advance_to(MONDAY_9 + timedelta(hours=1)) == 1
            with pytest.raises(ValueError, match=r"^to: .* is naive"):
                await clock.advance_to(datetime(2026, 3, 3))
    else:

        def play() -> None:
            with sync.SladTestClock(address) as clock:
                assert clock.now() == MONDAY_9
                assert clock.advance(timedelta(minutes=31)) == 1
                assert clock.advance_to(MONDAY_9 + timedelta(hours=1)) == 1
                with pytest.raises(ValueError, match=r"^to: .* is naive"):
                    clock.advance_to(datetime(2026, 3, 3))

        await asyncio.to_thread(play)
    assert [e.type for e in await slad.events()].count(pb.SLA_EVENT_TYPE_THRESHOLD_REACHED) == 2


async def test_real_time_cannot_be_moved(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/real.sock"
    async with (
        slad_running(tmp_path / "real", now=None, listen=[address]),
        aio.SladTestClock(address) as clock,
    ):
        with pytest.raises(slad_client.Unimplemented):
            await clock.now()


# --- names


@pytest.mark.parametrize(
    "reason", ["AWAITING_CLIENT", "SLA_PAUSE_REASON_AWAITING_CLIENT", pb.SLA_PAUSE_REASON_AWAITING_CLIENT]
)
async def test_an_enum_value_goes_by_its_name_long_or_short(client: Client, slad: Slad, reason: Any) -> None:
    await slad.start(schedule=OFFICE)
    paused = await client.pause_sla(ticket_id="T-1", reason=reason)
    assert paused.status.pause_reason == pb.SLA_PAUSE_REASON_AWAITING_CLIENT
    assert [s.ticket_id async for s in client.list_sla_trackings(states=["ACTIVE"], statuses=["PAUSED"])]


async def test_a_name_that_does_not_exist_is_refused_with_those_that_do(connect: Connect) -> None:
    client = connect("unix:/nowhere")
    with pytest.raises(
        ValueError, match=r"^reason: 'AWAITING' is not one of STATUS_PAUSE, AWAITING_CLIENT|AWAITING_CLIENT"
    ):
        await client.pause_sla(ticket_id="T-1", reason="AWAITING")


def test_short_names() -> None:
    assert short_name(pb.SlaEventType, pb.SLA_EVENT_TYPE_STARTED) == "STARTED"
    assert short_name(pb.ReopenMode, pb.REOPEN_MODE_RESUME) == "RESUME"
    assert short_name(pb.SlaEventType, 999) == "999"


async def test_what_is_printed_says_what_it_is(slad: Slad) -> None:
    address = slad.daemon.addresses[0]
    async with aio.SladClient(address, token="slad_id_secret") as client:
        assert repr(client) == f"<slad_client.aio.SladClient of {address}>"
        with pytest.raises(slad_client.NotFound) as caught:
            await client.get_sla_status(ticket_id="T-0")
    assert repr(caught.value).startswith("NotFound(\"TRACKING_NOT_FOUND: no tracking of ticket 'T-0'")
    assert repr(client).endswith(", closed>")
