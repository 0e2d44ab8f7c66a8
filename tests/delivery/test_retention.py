"""What is removed and what never is; consumers as the operator sees them; a consumer that does not read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest
from slad_client.v1 import admin_pb2, admin_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import RetentionSettings, Settings
from slad.core.instants import DAY_MS, MINUTE_MS
from slad.daemon import assembly
from slad.daemon.daemon import Daemon
from slad.delivery import hub
from slad.delivery.hub import EventHub
from slad.delivery.retention import Retention
from slad.storage.journal import Journal
from slad.storage.lock import DatabaseError
from slad.storage.rows import Batch
from tests.delivery.test_consumers import ack, start, watching
from tests.slad_under_test import MONDAY_9, Slad, refused, slad_running, target, told

QUIET = [target(None, 6_000_000, (0, 0, 0))]
"""Reaches nothing within years, so that the events are those that the test makes."""

EVENTS_MS = 10 * DAY_MS
REQUESTS_MS = 3 * DAY_MS


@dataclass
class Parts:
    """Of the daemons that were started, the latest one's."""

    retention: Retention
    hub: EventHub


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Sweeps when told, and with spans that a test can see the end of."""
    found = Parts(None, None)  # type: ignore[arg-type]
    settings = RetentionSettings(EVENTS_MS, max_events=1_000, requests_ms=REQUESTS_MS)

    def retention(_: RetentionSettings, *others: Any) -> Retention:
        found.retention = Retention(settings, *others)
        return found.retention

    def event_hub(*arguments: Any) -> EventHub:
        found.hub = EventHub(*arguments)
        return found.hub

    monkeypatch.setattr(assembly, "Retention", retention)
    monkeypatch.setattr(assembly, "EventHub", event_hub)
    return found


def admin(slad: Slad) -> Any:
    return admin_pb2_grpc.SlaAdminStub(slad.channel)


async def consumers(slad: Slad) -> dict[str, admin_pb2.SlaConsumer]:
    reply = await admin(slad).ListSlaConsumers(admin_pb2.ListSlaConsumersRequest())
    return {consumer.consumer: consumer for consumer in reply.consumers}


async def remove(slad: Slad, consumer: str) -> None:
    await admin(slad).RemoveSlaConsumer(admin_pb2.RemoveSlaConsumerRequest(consumer=consumer))


async def retained(slad: Slad, ticket: str) -> list[str]:
    """The events of a ticket that are still there."""
    request = rpc.GetSlaTimelineRequest(tenant_id="acme", ticket_id=ticket)
    return told((await slad.backend.GetSlaTimeline(request)).events)


async def kept(slad: Slad, *tickets: str) -> list[str]:
    """Those of the tickets whose start is still there."""
    return [ticket for ticket in tickets if await retained(slad, ticket)]


async def streams_are(slad: Slad, consumer: str, number: int) -> None:
    """Returns when slad has noticed that streams were opened or have ended."""
    while True:
        found = (await consumers(slad)).get(consumer)
        if found is not None and found.streams == number:
            return


async def nothing_owed(slad: Slad, consumer: str) -> None:
    """Returns when the lag of a consumer is 0."""
    while (await consumers(slad))[consumer].lag:
        pass


async def registered(slad: Slad, consumer: str, **fields: Any) -> None:
    """Lets a consumer watch once, so that it is known."""
    async with watching(slad, consumer, **fields):
        await streams_are(slad, consumer, 1)
    await streams_are(slad, consumer, 0)


async def begin(slad: Slad, *tickets: str, **fields: Any) -> None:
    await start(slad, *tickets, targets=QUIET, **fields)


# --- events


async def test_acknowledged_events_go_when_they_are_old_and_the_newest_never(
    tmp_path: Path, parts: Parts
) -> None:
    async with slad_running(tmp_path) as slad:
        await begin(slad, "A", "B")
        await slad.advance(hours=24)
        await begin(slad, "C")
        async with watching(slad) as watcher:
            await watcher.tickets(3)
        await ack(slad, 3)
        await slad.advance(hours=9 * 24)
        assert await parts.retention.sweep() == 0, "ten days old is not yet older than ten days"
        await slad.advance(ms=1)
        assert await parts.retention.sweep() == 2
        assert await kept(slad, "A", "B", "C") == ["C"]
        await slad.advance(hours=1_000)
        assert await parts.retention.sweep() == 0, "the newest stays, however old"
        await begin(slad, "D")
        assert await parts.retention.sweep() == 1, "it is the newest no more"
        assert await kept(slad, "C", "D") == ["D"]


async def test_an_event_that_any_consumer_has_not_acknowledged_is_never_removed(
    tmp_path: Path, parts: Parts
) -> None:
    async with slad_running(tmp_path) as slad:
        await begin(slad, "A", "B", "C", "D")
        for name, sequence in (("fast", 4), ("slow", 2), ("never", 0)):
            async with watching(slad, name) as watcher:
                await watcher.tickets(4)
            if sequence:
                await ack(slad, sequence, name)
            await streams_are(slad, name, 0)
        await slad.advance(hours=24 * 365)
        assert await parts.retention.sweep() == 0
        await remove(slad, "never")
        assert await parts.retention.sweep() == 2
        async with watching(slad, "slow") as watcher:
            assert await watcher.tickets(2) == ["C", "D"]
        await ack(slad, 4, "slow")
        assert await parts.retention.sweep() == 1, "but for the newest"
    async with slad_running(tmp_path) as slad, watching(slad, "late") as watcher:
        assert await watcher.tickets(1) == ["D"], "it begins with the oldest that is there"


async def test_a_new_consumer_begins_with_the_oldest_retained_event(tmp_path: Path, parts: Parts) -> None:
    async with slad_running(tmp_path) as slad:
        await begin(slad, "A", "B")
        await slad.advance(ms=EVENTS_MS + 1)
        assert await parts.retention.sweep() == 1
        async with watching(slad) as watcher:
            assert await watcher.tickets(1) == ["B"]


async def test_without_consumers_events_go_by_age(tmp_path: Path, parts: Parts) -> None:
    async with slad_running(tmp_path) as slad:
        await begin(slad, "A", "B")
        await slad.advance(ms=EVENTS_MS + 1)
        assert await parts.retention.sweep() == 1
        assert await kept(slad, "A", "B") == ["B"]


async def test_beyond_a_number_the_oldest_acknowledged_events_go_whatever_their_age(
    tmp_path: Path, parts: Parts
) -> None:
    async with slad_running(tmp_path) as slad:
        names = [f"T-{n}" for n in range(1_600)]
        for at in range(0, len(names), 200):
            await asyncio.gather(*(begin(slad, name) for name in names[at : at + 200]))
        async with watching(slad) as watcher:
            await watcher.tickets(1_600)
        assert await parts.retention.sweep() == 0, "nothing is acknowledged"
        await ack(slad, 50)
        assert await parts.retention.sweep() == 50
        await ack(slad, 1_600)
        assert await parts.retention.sweep() == 550
    async with slad_running(tmp_path) as slad, watching(slad, "", after_sequence=0) as look:
        assert (await look.next()).sequence == 601


async def test_sequences_go_on_after_everything_else_was_removed_and_slad_was_restarted(
    tmp_path: Path, parts: Parts
) -> None:
    async with slad_running(tmp_path) as slad:
        await begin(slad, "A", "B", "C")
        async with watching(slad) as watcher:
            await watcher.tickets(3)
        await ack(slad, 3)
        await slad.advance(hours=24 * 365)
        assert await parts.retention.sweep() == 2
        now = slad.now
    async with slad_running(tmp_path, now=now) as slad, watching(slad) as watcher:
        await begin(slad, "D")
        event = await watcher.next()
        assert (event.ticket_id, event.sequence) == ("D", 4)
        await ack(slad, 4)
        await slad.advance(ms=1)
        assert await parts.retention.sweep() == 1
    async with slad_running(tmp_path, now=now + 1) as slad:
        await begin(slad, "E")
        assert [e.sequence for e in await slad.events()] == [4, 5]


async def test_a_watcher_in_the_middle_of_what_is_removed_goes_on_behind_it(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "TAIL", 4)
    async with slad_running(tmp_path) as slad:
        names = [f"T-{n}" for n in range(50)]
        await begin(slad, *names)
        await slad.advance(ms=EVENTS_MS + 1)
        async with watching(slad, "", after_sequence=0) as look:
            assert await look.tickets(50) == names
            assert await parts.retention.sweep() == 49
            await begin(slad, "new")
            assert await look.tickets(1) == ["new"]
        async with watching(slad, "", after_sequence=10) as look:
            assert await look.tickets(2) == ["T-49", "new"]


# --- answers to request ids


async def test_a_request_id_is_forgotten_after_its_time_and_may_be_used_for_something_else(
    tmp_path: Path, parts: Parts
) -> None:
    async with slad_running(tmp_path) as slad:
        ids = {"tenant_id": "acme", "ticket_id": "A"}
        await begin(slad, "A")
        pausing = rpc.PauseSlaRequest(**ids, reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT, request_id="r")
        first = await slad.backend.PauseSla(pausing)
        resuming = rpc.ResumeSlaRequest(**ids, request_id="r")
        await slad.advance(ms=REQUESTS_MS)
        assert await parts.retention.sweep() == 0
        assert await slad.backend.PauseSla(pausing) == first
        assert (await refused(slad.backend.ResumeSla(resuming))).reason == "REQUEST_ID_REUSED"
        await slad.advance(ms=1)
        assert await parts.retention.sweep() == 1
        assert (await slad.backend.ResumeSla(resuming)).changed
        assert (await refused(slad.backend.PauseSla(pausing))).reason == "REQUEST_ID_REUSED"


# --- filters


@pytest.mark.parametrize(
    "fields", [{"tenant_id": "globex"}, {"types": [pb.SLA_EVENT_TYPE_PAUSED]}], ids=["tenant", "types"]
)
async def test_what_a_filter_leaves_out_is_not_owed_and_holds_nothing_back(
    tmp_path: Path, parts: Parts, fields: dict[str, Any]
) -> None:
    async with slad_running(tmp_path) as slad:
        async with watching(slad, **fields):
            await begin(slad, "A", "B")
            await nothing_owed(slad, "psa")
            await slad.advance(ms=EVENTS_MS + 1)
            assert await parts.retention.sweep() == 1
            assert await kept(slad, "A", "B") == ["B"]
        now = slad.now
    async with slad_running(tmp_path, now=now) as slad:
        assert (await consumers(slad))["psa"].lag == 0, "how far it has come is remembered"


async def test_what_a_filter_lets_through_is_owed_until_it_is_acknowledged(
    tmp_path: Path, parts: Parts
) -> None:
    async with slad_running(tmp_path) as slad:
        async with watching(slad, tenant_id="globex") as watcher:
            await begin(slad, "A")
            await begin(slad, "B", tenant_id="globex")
            await begin(slad, "C", "D")
            assert (await watcher.next()).sequence == 2
            await slad.advance(ms=EVENTS_MS + 1)
            await parts.retention.sweep()
            one = (await consumers(slad))["psa"]
            assert one.acknowledged_sequence < 2
            assert one.head_sequence == 4
            assert one.lag == 4 - one.acknowledged_sequence
            assert not one.HasField("acknowledged_at")
            await ack(slad, 2)
            await ack(slad, 2)
            await nothing_owed(slad, "psa")
            await parts.retention.sweep()
            assert await kept(slad, "A", "C", "D") == ["D"]
            # Its own acknowledgement again is well, although slad has gone on.
            await ack(slad, 2)
        # Away, it is owed what comes meanwhile: nobody looks through it in its place.
        await streams_are(slad, "psa", 0)
        await begin(slad, "E")
        assert (await consumers(slad))["psa"].lag == 1


# --- the operator


async def test_consumers_are_listed_with_lag_and_streams(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        assert await consumers(slad) == {}
        await begin(slad, "A", "B", "C")
        async with watching(slad, "one") as watcher, watching(slad, "one"), watching(slad, "two") as other:
            await watcher.tickets(3)
            await other.tickets(3)
            await slad.advance(minutes=1)
            await ack(slad, 2, "one")
            await streams_are(slad, "one", 2)
            got = await consumers(slad)
            assert list(got) == ["one", "two"]
            one, two = got.values()
            assert (one.acknowledged_sequence, one.head_sequence, one.lag, one.streams) == (2, 3, 1, 2)
            assert (two.acknowledged_sequence, two.head_sequence, two.lag, two.streams) == (0, 3, 3, 1)
            assert one.created_at.ToMilliseconds() == MONDAY_9
            assert one.acknowledged_at.ToMilliseconds() == MONDAY_9 + MINUTE_MS
            assert not two.HasField("acknowledged_at")
    async with slad_running(tmp_path) as slad:
        assert {name: (c.lag, c.streams) for name, c in (await consumers(slad)).items()} == {
            "one": (1, 0), "two": (3, 0)
        }  # fmt: skip


async def test_a_consumer_that_does_not_exist_or_is_in_use_is_not_removed(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad:
        got = await refused(remove(slad, "nobody"))
        assert (got.code, got.reason) == (grpc.StatusCode.NOT_FOUND, "CONSUMER_NOT_FOUND")
        got = await refused(remove(slad, ""))
        assert (got.code, got.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["consumer"])
        async with watching(slad):
            await streams_are(slad, "psa", 1)
            got = await refused(remove(slad, "psa"))
            assert (got.code, got.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONSUMER_IN_USE")
            assert "psa" in await consumers(slad)


async def test_a_removed_consumer_is_forgotten_and_what_it_claimed_may_go(
    tmp_path: Path, parts: Parts
) -> None:
    async with slad_running(tmp_path) as slad:
        await begin(slad, "A", "B", "C")
        await registered(slad, "psa")
        await slad.advance(ms=EVENTS_MS + 1)
        assert await parts.retention.sweep() == 0
        await remove(slad, "psa")
        assert await consumers(slad) == {}
        assert (await refused(ack(slad, 1))).reason == "CONSUMER_NOT_FOUND"
        assert await parts.retention.sweep() == 2
    async with slad_running(tmp_path) as slad:
        assert await consumers(slad) == {}
        async with watching(slad) as watcher:
            assert await watcher.tickets(1) == ["C"], "it begins anew, with the oldest that is there"


async def test_an_acknowledgement_during_its_removal_does_not_bring_a_consumer_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing, go_on = threading.Event(), threading.Event()
    commit = Journal.commit

    def held(journal: Journal, batch: Batch) -> None:
        if batch.forgotten_consumers:
            committing.set()
            go_on.wait(30)
        commit(journal, batch)

    monkeypatch.setattr(Journal, "commit", held)
    async with slad_running(tmp_path) as slad:
        await begin(slad, "A")
        async with watching(slad) as watcher:
            await watcher.next()
        await streams_are(slad, "psa", 0)
        removing = asyncio.create_task(remove(slad, "psa"))
        await asyncio.to_thread(committing.wait, 30)
        acknowledging = asyncio.create_task(ack(slad, 1))
        # Both calls are on one connection: once this one is answered, the other has arrived.
        await consumers(slad)
        go_on.set()
        await asyncio.gather(removing, acknowledging, return_exceptions=True)
    async with slad_running(tmp_path) as slad:
        assert await consumers(slad) == {}


# --- a consumer that does not read


@asynccontextmanager
async def deaf(slad: Slad, consumer: str) -> AsyncIterator[None]:
    """A stream from which nothing is ever read, over a connection with little room."""
    options = [("grpc.http2.lookahead_bytes", 64 * 1024), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(slad.daemon.addresses[0], options) as channel:
        watch = channel.unary_stream(
            "/slad.v1.SlaBackend/WatchSlaEvents",
            request_serializer=rpc.WatchSlaEventsRequest.SerializeToString,
        )
        call = watch(rpc.WatchSlaEventsRequest(consumer=consumer))
        await call.initial_metadata()
        try:
            yield
        finally:
            call.cancel()


async def test_a_consumer_that_never_reads_costs_nothing_and_delays_nobody(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "TAIL", 64)
    number, padding = 2_000, {"padding": "x" * 1_000}
    async with slad_running(tmp_path) as slad, deaf(slad, "deaf"), watching(slad, "good") as good:
        for at in range(0, number, 100):
            names = [f"T-{n}" for n in range(at, at + 100)]
            # Every command is answered, and the other consumer hears of it.
            await asyncio.gather(*(begin(slad, name, attributes=padding) for name in names))
            assert set(await good.tickets(100)) == set(names)
            await ack(slad, at + 100, "good")
            assert tail_length(parts.hub) <= 2 * 64
        lags = {name: c.lag for name, c in (await consumers(slad)).items()}
        assert lags == {"deaf": number, "good": 0}
        # It holds no more than the connection has room for; the rest waits on disk.
        assert (await refused(ack(slad, number // 2, "deaf"))).reason == "ACK_BEYOND_SENT"
        await slad.advance(ms=EVENTS_MS + 1)
        assert await parts.retention.sweep() == 0, "what it has not acknowledged stays"
    async with slad_running(tmp_path) as slad, watching(slad, "deaf") as back:
        assert [(await back.next()).sequence for _ in range(number)] == list(range(1, number + 1))


def tail_length(of: EventHub) -> int:
    """Events that are held in memory for all watchers together."""
    return len(of._tail)


async def test_damage_that_a_sweep_meets_ends_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sweep(_: Retention) -> int:
        raise apsw.CorruptError("database disk image is malformed")

    monkeypatch.setattr(Retention, "sweep", sweep)
    monkeypatch.setattr("slad.delivery.retention.SWEEP_EVERY_S", 0.01)
    daemon = Daemon(Settings(listen=("127.0.0.1:0",), data=tmp_path))
    with pytest.raises(DatabaseError, match="is damaged"):
        await asyncio.wait_for(daemon.run(), 60)
