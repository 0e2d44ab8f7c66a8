"""What is acknowledged, lost, fired and told when a machine goes away, with the real Litestream."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from slad_client.v1 import types_pb2 as pb

from slad.storage.epoch import SEQUENCE_STRIDE
from tests.delivery.sinks.endpoint import Reply, endpoint
from tests.system.e2e.slad_process import is_serving
from tests.trials.replication.rig import LAST_S, THRESHOLDS, Desk, events_of, now_ms, tickets_of
from tests.trials.replication.site import LEASE_S, Site, bucket_site, directory_site

REACHED = pb.SLA_EVENT_TYPE_THRESHOLD_REACHED


@pytest.fixture(params=[directory_site, bucket_site])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as running:
        yield request.param(tmp_path, running)


def crossing(event: pb.SlaEvent) -> tuple[str, int]:
    return event.ticket_id, event.threshold.percent


async def until(true: Callable[[], bool], seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


async def test_the_machine_is_lost_under_load(site: Site) -> None:
    desk, primary = Desk(), site.serve("first")
    litestream = site.replicate("first")
    async with desk.at_work(primary.addresses[0]):
        await asyncio.sleep(10)
        primary.process.kill()
        litestream.end()
        lost_at = now_ms()
    told = [event for event in desk.heard if event.type == REACHED]

    site.restore("second")
    known_until = await site.adopt("second", epoch=1)
    assert lost_at - 10_000 < known_until < lost_at
    address = site.serve("second").addresses[0]
    owed = {one.request.ticket_id for one in desk.acknowledged if one.at < known_until}
    assert len(owed) > 100
    assert owed <= await tickets_of(address), "acknowledged before the instant that was stated"
    await desk.send_again(address, known_until)
    assert {one.request.ticket_id for one in desk.acknowledged} <= await tickets_of(address)

    # Every threshold of every ticket, once; what the first had told, under the id that it had then.
    await asyncio.sleep(LAST_S + 1)
    events = await events_of(address)
    crossings = [crossing(event) for event in events if event.type == REACHED]
    assert set(Counter(crossings).values()) == {1}
    assert set(crossings) >= {(one.request.ticket_id, p) for one in desk.acknowledged for p in THRESHOLDS}
    ids = {crossing(event): event.event_id for event in events if event.type == REACHED}
    assert len(told) > 100
    assert all(ids[crossing(event)] == event.event_id for event in told)
    # No sequence is of two events.
    by_sequence = {event.sequence: event.event_id for event in desk.heard}
    assert all(by_sequence.get(event.sequence, event.event_id) == event.event_id for event in events)
    assert max(by_sequence) < SEQUENCE_STRIDE < max(event.sequence for event in events)


async def test_a_partition_and_the_old_primary_comes_back(site: Site) -> None:
    """The first goes on running, and its callers reach it, but it does not reach the fence."""
    desk, primary = Desk(), site.serve("first")
    address = primary.addresses[0]
    litestream = site.replicate("first")
    async with desk.at_work(address):
        await asyncio.sleep(3)
        following = site.follow("second")
        await asyncio.sleep(3)
        site.cut()
        await until(lambda: not is_serving(address), LEASE_S + 5)
        await asyncio.sleep(0.5)
        stopped_at, heard = now_ms(), len(desk.heard)
        assert following.stop() == 0
        known_until = await site.adopt("second", epoch=1)
        second = site.serve("second").addresses[0]
        assert is_serving(second)
        site.mend()
        await until(lambda: "epoch 1 was adopted" in primary.output, LEASE_S + 5)
        await asyncio.sleep(1)
        assert not is_serving(address)
        assert len(desk.heard) == heard, "the old primary fires nothing"
        assert not [one for one in desk.acknowledged if one.at > stopped_at]
    assert any("may not serve" in told for told in desk.refused), desk.refused
    owed = {one.request.ticket_id for one in desk.acknowledged if one.at < known_until}
    assert len(owed) > 100
    assert owed <= await tickets_of(second)

    # Started again, it does not come up; nor can its database be adopted over the newer one.
    assert (primary.terminate(), litestream.stop()) == (0, 0)
    options = site.options("first")
    assert "this copy is of epoch 0 and must not serve any more" in await site.refused("serve", *options)
    assert "lacks what came after" in await site.refused("adopt", *options)


async def test_a_fenced_primary_keeps_back_what_its_target_did_not_take(site: Site) -> None:
    """Until it holds its lease again; for good, if another was adopted, which does not know all of it."""
    desk, target = Desk(), site.running.enter_context(endpoint())
    target.behaviour = lambda _: Reply(status=503)
    sinks = site.folder / "slad.toml"
    sinks.write_text(
        f'[sinks.psa]\ntype = "webhook"\nurl = "{target.url}"\nallow_http = true\n'
        'allow_networks = ["127.0.0.1/32", "::1/128"]\nbackoff_max = "500ms"\nattempts = 1000\n'
    )
    primary = site.serve("first", "--config", str(sinks))
    address = primary.addresses[0]
    litestream = site.replicate("first")

    async def is_cut_off() -> None:
        site.cut()
        await until(lambda: not is_serving(address), LEASE_S + 5)
        target.behaviour = lambda _: Reply()
        asked = len(target.requests)
        await asyncio.sleep(2)
        assert (len(target.requests), len(target.accepted)) == (asked, accepted)

    accepted = 0
    async with desk.at_work(address):
        await asyncio.sleep(2)
    await is_cut_off()
    site.mend()
    await until(lambda: is_serving(address), LEASE_S + 5)
    known = {one.request.ticket_id for one in desk.acknowledged}
    await until(lambda: {one.event["subject"] for one in [*target.accepted]} >= known, 60)
    await asyncio.sleep(LAST_S + 1)

    target.behaviour = lambda _: Reply(status=503)
    accepted = len(target.accepted)
    litestream.end()
    async with desk.at_work(address):
        await asyncio.sleep(2)
    unreplicated = {one.request.ticket_id for one in desk.acknowledged} - known
    assert len(unreplicated) > 100
    await is_cut_off()
    site.restore("second")
    await site.adopt("second", epoch=1)
    second = site.serve("second", "--config", str(sinks)).addresses[0]
    site.mend()
    await until(lambda: "epoch 1 was adopted" in primary.output, LEASE_S + 5)
    await desk.send_again(second, 0)
    await until(lambda: {one.event["subject"] for one in [*target.accepted]} >= unreplicated, 60)
    assert {one.event["epoch"] for one in target.accepted[accepted:]} == {1}


async def test_what_cannot_be_adopted(site: Site) -> None:
    desk, primary = Desk(), site.serve("first")
    site.replicate("first")
    async with desk.at_work(primary.addresses[0]):
        await asyncio.sleep(3)
    following = site.follow("second")
    await until((site.data("second") / "slad.db-txid").exists, 60)
    site.restore("third")

    assert "is held by another slad" in await site.refused("adopt", *site.options("first"))
    assert "another process has" in await site.refused("adopt", *site.options("second")), "it is followed"
    assert following.stop() == 0
    assert "which renews its lease; stop it first" in await site.refused("adopt", *site.options("second"))
    assert "is a copy; to serve it instead" in await site.refused("serve", *site.options("third"))
    primary.terminate()
    await site.adopt("second", epoch=1)
    assert "epoch 1 was adopted on" in await site.refused("adopt", *site.options("third"))
    site.fences["third"] = "/nowhere/fence"
    assert "/nowhere/fence cannot be reached" in await site.refused("adopt", *site.options("third"))
    # Litestream ended in the middle of an update, and only the times tell.
    site.fences["third"] = site.fences["second"]
    (site.data("third") / "slad.db-txid").touch()
    later_ns = now_ms() * 1_000_000 + 1_000_000_000
    os.utime(site.data("third") / "slad.db", ns=(later_ns, later_ns))
    assert "stopped while it updated" in await site.refused("adopt", *site.options("third"))


async def test_a_replica_that_does_not_move_is_noticed(site: Site) -> None:
    desk, primary = Desk(), site.serve("first")
    litestream = site.replicate("first")
    data = str(site.data("first"))
    async with desk.at_work(primary.addresses[0]):
        await asyncio.sleep(3)
        following = site.follow("second")
        followed = str(site.data("second") / "slad.db")
        await until(Path(f"{followed}-txid").exists, 60)
        await asyncio.sleep(2)
        for replica in (site.replica, followed):
            done = await site.slad("replica", "check", replica, "--data", data, "--max-age", "10s")
            assert done.returncode == 0, done.stderr
            assert "knows everything before" in done.stdout
        # Neither says a word.
        litestream.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2)  # stopped while it applies something, the other would leave the copy locked
        following.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(4)
        for replica in (site.replica, followed):
            done = await site.slad("replica", "check", replica, "--data", data, "--max-age", "4s")
            assert done.returncode == 5, done.stdout
            assert "it does not move" in done.stderr
