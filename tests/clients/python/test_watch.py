"""Watches: acknowledgement, breaks, ends. Both clients against a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import grpc
import pytest
import slad_client
from slad_client.v1 import types_pb2 as pb

from slad.core.errors import Refusal
from tests.clients.python.conftest import Client, Connect, Plain
from tests.clients.python.relay import Fault, Relay, refusing
from tests.slad_under_test import Slad, slad_running

FAR = 3_600.0
"""An ack_interval that no test sees the end of."""


async def tickets(slad: Slad, *names: str) -> None:
    """Each is a STARTED event."""
    for name in names:
        await slad.start(name)


async def take(events: AsyncGenerator[pb.SlaEvent, None], count: int) -> list[int]:
    async with asyncio.timeout(60):
        return [(await anext(events)).sequence for _ in range(count)]


async def next_of(client: Client, consumer: str) -> int:
    """The sequence with which a consumer would go on now."""
    async with aclosing(client.watch_sla_events(consumer=consumer)) as events:
        return (await take(events, 1))[0]


def acknowledged(relay: Relay) -> list[int]:
    return [request.sequence for request in relay.requests("AckSlaEvents")]


# --- what is watched


async def test_a_look_sees_what_comes_after_a_sequence(client: Client, slad: Slad) -> None:
    await tickets(slad, "T-1", "T-2", "T-3")
    async with aclosing(client.watch_sla_events(after_sequence=1)) as events:
        assert await take(events, 2) == [2, 3]
        await tickets(slad, "T-4")
        assert await take(events, 1) == [4]


async def test_a_look_can_be_narrowed(client: Client, slad: Slad) -> None:
    await tickets(slad, "T-1")
    await slad.start("T-2", tenant_id="other")
    await slad.advance(minutes=30)
    narrow = client.watch_sla_events(
        after_sequence=0, tenant_id="other", types=[pb.SLA_EVENT_TYPE_THRESHOLD_REACHED]
    )
    async with aclosing(narrow) as events:
        event = await anext(events)
    assert (event.ticket_id, event.phase, event.threshold.percent) == ("T-2", pb.SLA_PHASE_RESPONSE, 50)


async def test_a_wrong_request_is_an_error(client: Client) -> None:
    with pytest.raises(slad_client.InvalidArgument) as caught:
        await anext(client.watch_sla_events(consumer="x" * 201))
    assert caught.value.field == "consumer"
    assert client.pauses == []


# --- acknowledgement


async def test_a_consumer_that_does_not_acknowledge_starts_over(client: Client, slad: Slad) -> None:
    await tickets(slad, "T-1", "T-2", "T-3")
    async with aclosing(client.watch_sla_events(consumer="psa")) as events:
        assert await take(events, 3) == [1, 2, 3]
    assert await next_of(client, "psa") == 1
    await client.ack_sla_events(consumer="psa", sequence=2)
    assert await next_of(client, "psa") == 3


async def test_an_event_is_dealt_with_when_the_next_is_asked_for(client: Client, slad: Slad) -> None:
    await tickets(slad, "T-1", "T-2", "T-3")
    lazy = client.watch_sla_events(consumer="psa", acknowledge=True, ack_interval=FAR)
    async with aclosing(lazy) as events:
        assert await take(events, 3) == [1, 2, 3]
    assert await next_of(client, "psa") == 3


async def test_acknowledged_after_so_many_events(relay: Relay, relayed: Client, slad: Slad) -> None:
    await tickets(slad, *"ABCDEFG")
    eager = relayed.watch_sla_events(consumer="psa", acknowledge=True, ack_every=3, ack_interval=FAR)
    async with aclosing(eager) as events:
        assert await take(events, 4) == [1, 2, 3, 4]
        await relay.until(lambda: acknowledged(relay) == [3])
        assert await take(events, 3) == [5, 6, 7]
        await relay.until(lambda: acknowledged(relay) == [3, 6])
    assert acknowledged(relay) == [3, 6]


async def test_acknowledged_after_some_time_also_when_nothing_comes(
    relay: Relay, relayed: Client, slad: Slad
) -> None:
    await tickets(slad, "T-1")
    events = relayed.watch_sla_events(consumer="psa", acknowledge=True, ack_interval=0.01)
    assert await take(events, 1) == [1]
    waiting = asyncio.create_task(take(events, 1))
    await relay.until(lambda: acknowledged(relay) == [1])
    await tickets(slad, "T-2")
    assert await waiting == [2]
    await events.aclose()
    assert acknowledged(relay) == [1]


async def test_an_acknowledgement_that_fails_is_made_up_for(
    relay: Relay, relayed: Client, slad: Slad
) -> None:
    relay.fail(
        "AckSlaEvents",
        Fault(grpc.StatusCode.UNAVAILABLE, forward=False),
        Fault(grpc.StatusCode.DEADLINE_EXCEEDED, forward=False),
    )
    await tickets(slad, "T-1", "T-2")
    async with aclosing(
        relayed.watch_sla_events(consumer="psa", acknowledge=True, ack_interval=0.01)
    ) as events:
        assert await take(events, 2) == [1, 2]
        await relay.until(lambda: acknowledged(relay) == [1, 1, 1])
    assert await next_of(relayed, "psa") == 2


async def test_slad_may_be_away_at_the_end(relay: Relay, relayed: Client, slad: Slad) -> None:
    relay.fail("AckSlaEvents", Fault(grpc.StatusCode.UNAVAILABLE, forward=False))
    await tickets(slad, "T-1", "T-2")
    lazy = relayed.watch_sla_events(consumer="psa", acknowledge=True, ack_interval=FAR)
    async with aclosing(lazy) as events:
        assert await take(events, 2) == [1, 2]
    assert acknowledged(relay) == [1]
    assert await next_of(relayed, "psa") == 1


async def test_behind_another_acknowledgement_is_well(relay: Relay, relayed: Client, slad: Slad) -> None:
    await tickets(slad, "T-1", "T-2", "T-3")
    async with aclosing(
        relayed.watch_sla_events(consumer="psa", acknowledge=True, ack_every=1, ack_interval=FAR)
    ) as events:
        assert await take(events, 1) == [1]
        await relayed.ack_sla_events(consumer="psa", sequence=3)
        assert await take(events, 1) == [2]
        await relay.until(lambda: acknowledged(relay) == [3, 1])
        assert await take(events, 1) == [3]
    assert acknowledged(relay) == [3, 1, 2]


async def test_a_refused_acknowledgement_is_raised_in_place_of_the_next_event(
    relay: Relay, relayed: Client, slad: Slad, caplog: pytest.LogCaptureFixture
) -> None:
    relay.fail("AckSlaEvents", refusing(Refusal.NOT_FOUND, "CONSUMER_NOT_FOUND"))
    relay.faults["AckSlaEvents"][0].forward = False
    await tickets(slad, *"ABCDEFGH")
    events = relayed.watch_sla_events(consumer="psa", acknowledge=True, ack_every=1, ack_interval=FAR)
    assert await take(events, 2) == [1, 2]
    await relay.until(lambda: acknowledged(relay) == [1])
    await relay.until(lambda: "was refused" in caplog.text, polled=True)
    with pytest.raises(slad_client.NotFound) as caught:
        await anext(events)
    assert caught.value.reason == "CONSUMER_NOT_FOUND"
    assert acknowledged(relay) == [1]


async def test_a_cancelled_task_acknowledges_what_it_has_done(slad: Slad, connect: Connect) -> None:
    client = connect(slad.daemon.addresses[0])
    if not isinstance(client, Plain):
        return  # a thread cannot be cancelled
    await tickets(slad, "T-1", "T-2")
    seen: list[int] = []
    both = asyncio.Event()

    async def consume() -> None:
        async for event in client.watch_sla_events(consumer="psa", acknowledge=True, ack_interval=FAR):
            seen.append(event.sequence)
            if len(seen) == 2:
                both.set()

    task = asyncio.create_task(consume())
    await both.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await tickets(slad, "T-3")
    assert await next_of(client, "psa") == 3


# --- breaks


@pytest.mark.parametrize("consumer", ["psa", ""])
async def test_over_a_restart_of_the_daemon(connect: Connect, tmp_path: Path, consumer: str) -> None:
    socket = f"unix:{tmp_path}/slad.sock"
    client = connect(socket)
    client.moment = 0.005
    async with AsyncExitStack() as stack:
        events: AsyncGenerator[pb.SlaEvent, None]
        async with slad_running(tmp_path / "data", listen=[socket]) as slad:
            await tickets(slad, "T-1", "T-2", "T-3")
            look = {"consumer": consumer} if consumer else {"after_sequence": 0}
            events = await stack.enter_async_context(aclosing(client.watch_sla_events(**look)))
            assert await take(events, 2) == [1, 2]
            if consumer:
                await client.ack_sla_events(consumer=consumer, sequence=1)
            assert await take(events, 1) == [3]
            waiting = asyncio.create_task(take(events, 2))
            await asyncio.sleep(0)
        async with slad_running(tmp_path / "data", listen=[socket]) as slad:
            await tickets(slad, "T-4", "T-5")
            assert await waiting == [4, 5], "each once, though the consumer is served from 2 on"
            if consumer:
                await events.aclose()
                assert await next_of(client, consumer) == 2


BREAKS = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.OK,
]


@pytest.mark.parametrize("consumer", ["psa", ""])
@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
async def test_a_broken_stream_goes_on(
    relay: Relay,
    relayed: Client,
    slad: Slad,
    consumer: str,
    code: grpc.StatusCode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await tickets(slad, *"ABCDE")
    relay.fail("WatchSlaEvents", Fault(code, after_events=2), Fault(code, after_events=3))
    async with aclosing(relayed.watch_sla_events(consumer=consumer, after_sequence=0)) as events:
        assert await take(events, 5) == [1, 2, 3, 4, 5]
    asked = [r.after_sequence for r in relay.requests("WatchSlaEvents")]
    assert asked == ([0, 0, 0] if consumer else [0, 2, 5][: len(asked)])
    assert "again in" in caplog.text


async def test_a_break_waits_as_long_as_slad_asks(relay: Relay, relayed: Client, slad: Slad) -> None:
    await tickets(slad, "T-1", "T-2")
    relay.fail("WatchSlaEvents", refusing(Refusal.UNAVAILABLE, "STOPPING"))
    async with aclosing(relayed.watch_sla_events(consumer="psa")) as events:
        assert await take(events, 2) == [1, 2]
    assert relayed.pauses == [1.0]


@pytest.mark.parametrize(
    ("kind", "reason"), [(Refusal.NOT_FOUND, "CONSUMER_NOT_FOUND"), (Refusal.RESOURCE_EXHAUSTED, "X")]
)
async def test_a_refusal_is_not_a_break(
    relay: Relay, relayed: Client, slad: Slad, kind: Refusal, reason: str
) -> None:
    await tickets(slad, "T-1")
    relay.fail("WatchSlaEvents", refusing(kind, reason))
    events = relayed.watch_sla_events(consumer="psa")
    assert await take(events, 1) == [1]
    with pytest.raises(slad_client.SladError) as caught:
        await anext(events)
    assert caught.value.code.name == kind.name
    assert relayed.pauses == []


async def test_reconnecting_can_be_switched_off(relay: Relay, relayed: Client, slad: Slad) -> None:
    await tickets(slad, "T-1", "T-2")
    relay.fail("WatchSlaEvents", Fault(grpc.StatusCode.UNAVAILABLE))
    events = relayed.watch_sla_events(after_sequence=0, reconnect=False)
    assert await take(events, 1) == [1]
    with pytest.raises(slad_client.Unavailable):
        await anext(events)


# --- ends


async def test_closing_the_iteration_ends_the_stream(relay: Relay, relayed: Client, slad: Slad) -> None:
    await tickets(slad, "T-1", "T-2")
    events = relayed.watch_sla_events(consumer="psa")
    assert await take(events, 1) == [1]
    assert relay.streams == 1
    await events.aclose()
    await relay.until(lambda: relay.streams == 0)


async def test_an_error_in_the_loop_ends_the_stream(relay: Relay, relayed: Client, slad: Slad) -> None:
    await tickets(slad, "T-1")

    async def consume() -> None:
        async with aclosing(relayed.watch_sla_events(consumer="psa", acknowledge=True)) as events:
            async for event in events:
                raise LookupError(event.ticket_id)

    with pytest.raises(LookupError, match="T-1"):
        await consume()
    await relay.until(lambda: relay.streams == 0)
    assert await next_of(relayed, "psa") == 1, "that event was not dealt with"


@pytest.mark.parametrize("acknowledge", [False, True])
async def test_closing_the_client_ends_the_iteration(
    relay: Relay, relayed: Client, slad: Slad, acknowledge: bool
) -> None:
    await tickets(slad, "T-1")
    seen: list[int] = []
    one = asyncio.Event()

    async def consume() -> None:
        async for event in relayed.watch_sla_events(
            consumer="psa", acknowledge=acknowledge, ack_interval=FAR
        ):
            seen.append(event.sequence)
            one.set()

    task = asyncio.create_task(consume())
    await one.wait()
    await asyncio.sleep(0.01)  # into the next read
    await relayed.close()
    await asyncio.wait_for(task, 60)
    assert seen == [1]
    await relay.until(lambda: relay.streams == 0)


async def test_a_closed_client_watches_nothing(client: Client) -> None:
    await client.close()
    assert [event async for event in client.watch_sla_events(consumer="psa", acknowledge=True)] == []
