"""Webhooks of many tickets at once: each ticket's in order, many requests under way, batches."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import admin_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from standardwebhooks.webhooks import Webhook

from slad.config.settings import Settings
from slad.config.sinks import read_sinks
from slad.delivery.sinks import webhook
from tests.delivery.sinks.desk import Desk, desk, eventually
from tests.delivery.sinks.endpoint import Endpoint, Received, Reply, endpoint, tickets
from tests.delivery.sinks.test_webhook import OLD, subjects, table
from tests.slad_under_test import slad_running, start_request
from tests.system.e2e.slad_process import slad_process

NAMES = [f"T-{number}" for number in range(12)]
EACH = 4
"""Events of each ticket: its start, and three thresholds."""


@pytest.fixture
def target() -> Iterator[Endpoint]:
    with endpoint() as found:
        yield found


async def backlog_of(data: Path, names: Sequence[str]) -> None:
    """EACH events of each of these tickets, which no sink has got yet."""
    async with slad_running(data) as slad:
        await Desk(slad).tickets(*names)
        await slad.advance(minutes=45)


async def test_tickets_go_side_by_side_and_each_in_order(tmp_path: Path, target: Endpoint) -> None:
    await backlog_of(tmp_path / "data", NAMES)
    answered = threading.Event()
    target.behaviour = lambda request: Reply(after=answered)
    async with desk(tmp_path / "data", s=table(target, parallel=4)) as running:
        await eventually(lambda: len(target.requests) == 4)
        await running.sink()
        assert len(target.requests) == 4, "as many as the setting allows, and no more"
        assert len(set(subjects(target.requests))) == 4
        answered.set()
        sink = await running.until(lag=0)
        told = await running.slad.events()
    assert len(target.accepted) >= sink.delivered >= EACH * len(NAMES)
    expected: dict[str, list[int]] = {}
    for event in told:
        expected.setdefault(f"{event.tenant_id}/{event.ticket_id}", []).append(event.sequence)
    assert tickets(target.accepted).items() >= expected.items()


async def test_one_event_that_the_endpoint_fails_on_keeps_no_other_ticket_waiting(
    tmp_path: Path, target: Endpoint
) -> None:
    await backlog_of(tmp_path / "data", NAMES)
    target.behaviour = lambda r: Reply(500 if r.event["subject"] == "T-0" else 200)
    slow = {"backoff_min": "2s", "backoff_max": "4s", "attempts": 1_000}
    async with desk(tmp_path / "data", s=table(target, parallel=4, **slow)) as running:
        await eventually(lambda: len(target.accepted) == EACH * (len(NAMES) - 1))
        sink = await running.sink()
        assert (sink.parked, sink.state) == (0, rpc.SLA_SINK_STATE_READY)
        assert sink.lag > 0, "what is not delivered is not acknowledged"
        assert "T-0" not in subjects(target.accepted)
        target.behaviour = lambda request: Reply()
        await running.until(lag=0)
    assert {len(found) for found in tickets(target.accepted).values()} == {EACH}


async def test_an_endpoint_that_is_away_is_asked_with_one_request_at_a_time(
    tmp_path: Path, target: Endpoint
) -> None:
    await backlog_of(tmp_path / "data", NAMES)
    target.behaviour = lambda request: Reply(503)
    async with desk(tmp_path / "data", s=table(target, parallel=4, attempts=100)) as running:
        sink = await running.until(failures=lambda count: count > 20, state=rpc.SLA_SINK_STATE_OPEN)
        assert (sink.parked, sink.delivered) == (0, 0)
        asked = Counter(subjects(target.requests))
        assert len(asked) == len(NAMES), "a different ticket each time: it may be the event's fault"
        target.behaviour = lambda request: Reply()
        await running.until(lag=0, parked=0)
    assert {tuple(found) == tuple(sorted(found)) for found in tickets(target.accepted).values()} == {True}


async def test_a_batch_is_a_list_of_cloud_events_signed_as_a_whole(
    tmp_path: Path, target: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", OLD)
    await backlog_of(tmp_path / "data", NAMES)
    async with desk(tmp_path / "data", s=table(target, batch=5, secret_env="HOOK_SECRET")) as running:
        await running.until(lag=0)
    assert all(r.headers["content-type"] == "application/cloudevents-batch+json" for r in target.accepted)
    assert max(len(request.events) for request in target.accepted) == 5
    assert sum(len(request.events) for request in target.accepted) == EACH * len(NAMES)
    assert len({request.headers["webhook-id"] for request in target.accepted}) == len(target.accepted)
    for request in target.accepted:
        Webhook(OLD).verify(request.body, request.headers)
    assert {tuple(found) == tuple(sorted(found)) for found in tickets(target.accepted).values()} == {True}


def test_the_same_events_together_have_the_same_message_id() -> None:
    assert webhook.message_id(["a"]) == "a"
    assert webhook.message_id(["a", "b"]) == webhook.message_id(["a", "b"])
    assert len({webhook.message_id(ids) for ids in (["a", "b"], ["b", "a"], ["a", "b", "c"], ["a b"])}) == 4


@pytest.mark.parametrize("status", [422, 500])
async def test_of_a_batch_only_the_event_is_parked_that_the_endpoint_does_not_take(
    tmp_path: Path, target: Endpoint, status: int
) -> None:
    await backlog_of(tmp_path / "data", NAMES)

    def answer(request: Received) -> Reply:
        return Reply(status if any(event["subject"] == "T-5" for event in request.events) else 200)

    target.behaviour = answer
    async with desk(tmp_path / "data", s=table(target, batch=8, parallel=3, attempts=3)) as running:
        await running.until(lag=0, parked=EACH)
        parked = await running.at_rest()
        assert {event.event.ticket_id for event in parked} == {"T-5"}
        assert len(tickets(target.accepted)) == len(NAMES) - 1
        target.behaviour = lambda request: Reply()
        assert await running.replay() == EACH
        await running.until(parked=0)
    assert {len(found) for found in tickets(target.accepted).values()} == {EACH}
    assert {tuple(found) == tuple(sorted(found)) for found in tickets(target.accepted).values()} == {True}


async def test_sinks_are_added_changed_and_removed_while_it_runs_and_keep_their_place(
    tmp_path: Path, target: Endpoint
) -> None:
    async def reloaded(**tables: dict[str, Any]) -> None:
        await running.slad.daemon.reload(Settings(sinks=read_sinks(tables)))

    lines = {"type": "jsonl", "path": str(tmp_path / "lines.jsonl")}
    async with desk(tmp_path / "data", hook=table(target)) as running:
        await running.tickets("A")
        await running.until("hook", lag=0)
        await reloaded(hook=table(target), file=lines)
        await running.until("file", lag=0)
        await reloaded(hook=table(target, batch=2), file=lines)
        await running.tickets("B")
        await running.until("hook", lag=0)
        assert [event["subject"] for event in target.accepted[-1].events] == ["B"], (
            "as a batch, and A not again"
        )
        await running.until("file", lag=0)
        await reloaded(hook=table(target, batch=2))
        await running.tickets("C")
        await running.until("hook", lag=0)
        assert [sink.sink for sink in await running.sinks()] == ["hook"]
        await reloaded(hook=table(target, batch=2), file=lines)
        await running.until("file", lag=0)
    written = (tmp_path / "lines.jsonl").read_text("utf-8").splitlines()
    assert len(written) == 3, "each once, C also, which came while the sink was away"
    assert len(target.accepted) == 3


async def test_sighup_takes_up_a_new_sink_and_refuses_wrong_ones_whole(tmp_path: Path) -> None:
    file, lines = tmp_path / "slad.toml", tmp_path / "lines.jsonl"
    file.write_text("", "utf-8")
    options = ("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--config", str(file))
    with slad_process(*options) as process:
        async with grpc.aio.insecure_channel(process.addresses[0]) as channel:
            await sla_backend_pb2_grpc.SlaBackendStub(channel).StartSlaTracking(start_request("T-1"))

        async def reload(text: str, outcome: str) -> None:
            file.write_text(text, "utf-8")
            process.process.send_signal(signal.SIGHUP)
            await eventually(lambda: outcome in process.output)

        good = f'[sinks.file]\ntype = "jsonl"\npath = "{lines}"\n'
        wrong = '[sinks.hook]\ntype = "webhook"\nurl = "https://127.1/"\n'
        await reload(good + wrong, "sinks.hook.url: '127.1' is neither a name nor an address")
        assert not lines.exists()
        await reload(good, "reloaded")
        await eventually(lambda: lines.exists() and b"T-1" in lines.read_bytes())
        assert process.terminate() == 0
