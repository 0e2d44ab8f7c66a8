"""Who waits for whom: each tenant for itself, and the timers for nobody."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import apsw
import pytest

from slad.core.errors import Refused
from slad.core.events import EventType, PauseReason
from slad.core.instants import MINUTE_MS
from slad.engine import turn
from slad.engine.commands import Pause, Start
from slad.engine.job_queue import Job, JobQueue
from slad.engine.unit_of_work import UnitOfWork
from tests.engine.test_engine import NOW, promise, rig, settle


def job(name: str) -> Job:
    return Job(cast("Any", None), cast("Any", None), name, None, name[0])


def names(jobs: list[tuple[int, Job]]) -> str:
    return " ".join(job.cause for _, job in jobs)


def test_lines_are_served_by_turns_each_in_its_own_order() -> None:
    queue = JobQueue()
    for name in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(job(name))
    assert len(queue) == 6
    taken = queue.take(4)
    assert names(taken) == "a1 b1 c1 a2"
    queue.put_back(taken[2:])
    assert (len(queue), queue.waiting_of("c"), queue.waiting_of("b")) == (4, 2, 0)
    assert names(queue.take(10)) == "c1 a2 c2 a3"
    assert not queue


def test_a_single_line_is_taken_as_it_stands() -> None:
    queue = JobQueue()
    for number in range(5):
        queue.put(job(f"a{number}"))
    assert names(queue.take(2)) == "a0 a1"
    assert names(queue.take(9)) == "a2 a3 a4"


def test_with_a_command_that_leaves_its_tenant_out_all_go_as_they_came() -> None:
    queue = JobQueue()
    without = Job(cast("Any", None), cast("Any", None), "?", cast("Any", object()))
    for item in (job("a1"), job("a2"), job("b1"), without, job("a3"), job("b2"), job("a4")):
        queue.put(item)
    taken = queue.take(3)
    assert names(taken) == "a1 a2 b1"
    queue.put_back(taken[1:])
    assert names(queue.take(9)) == "a2 b1 ? a3 b2 a4"


def part(stream: str, number: int, commands: int = 4) -> Job:
    name = f"{stream}{number}"
    return Job(cast("Any", None), cast("Any", None), name, stream=stream, commands=commands)


def test_streams_take_turns_among_themselves_and_have_half_of_a_turn() -> None:
    """X4."""
    queue = JobQueue()
    for number in range(3):
        for stream in ("x", "y"):
            queue.put(part(stream, number))
    for number in range(20):
        queue.put(job(f"a{number}"))
    assert (len(queue), queue.single, queue.batched) == (44, 20, 24)
    taken = queue.take(16)
    assert names(taken) == "a0 x0 a1 a2 a3 a4 y0 a5 a6 a7"
    queue.put_back(taken[2:])
    assert (len(queue), queue.single, queue.batched) == (39, 19, 20)
    assert names(queue.take(16)) == "a1 y0 a2 a3 a4 a5 x1 a6 a7 a8"
    rest = names(queue.take(100)).split()
    assert [name for name in rest if name[0] != "a"] == ["y1", "x2", "y2"]
    assert rest[-1] == "a19"
    assert not queue
    for number in range(3):
        queue.put(part("x", number))
    queue.put(job("a1"))
    assert names(queue.take(16)) == "a1 x0", "a single one does not wait for more than a part"
    queue.drain()
    for number in range(9):
        queue.put(part("x", number))
    assert names(queue.take(16)) == "x0 x1 x2 x3", "many wait, and nobody else"
    assert names(queue.take(16)) == "x4 x5 x6", "half of what waits, and as it goes in parts"
    assert names(queue.take(16)) == "x7 x8", "but half a turn at least"
    for number in range(3):
        queue.put(part("x", number))
    assert [item.cause for item in queue.drain()] == ["x0", "x1", "x2"]
    assert (len(queue), queue.take(9)) == (0, [])
    queue.put(part("x", 0, commands=1))
    assert names(queue.take(1)) == "x0", "one job, at least"


def test_a_job_of_many_commands_is_taken_with_others_only_where_it_fits() -> None:
    queue = JobQueue()
    for number in range(3):
        queue.put(part("x", number, 6))
    assert names(queue.take(4)) == "x0", "one at least, though it is more than a turn has"
    queue.put(job("a1"))
    assert names(queue.take(6)) == "a1"
    assert names(queue.take(10)) == "x1"
    assert names(queue.take(100)) == "x2"


def test_what_streams_send_does_not_keep_single_commands_in_the_order_of_their_coming() -> None:
    queue = JobQueue()
    without = Job(cast("Any", None), cast("Any", None), "?", cast("Any", object()))
    for item in (part("x", 0, 2), job("a1"), without, job("b1"), part("x", 1, 2)):
        queue.put(item)
    assert names(queue.take(9)) == "a1 x0 ? b1 x1"


async def test_what_fires_is_told_before_the_commands_of_streams_are_carried_out(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        await slad.start("due", minutes=60)
        slad.journal.gate.clear()
        holding = asyncio.create_task(slad.start("holding"))
        await settle()
        starts = [
            (Start(tenant_id="acme", ticket_id=f"T-{n}", policy_id="p", terms=promise(60)), lambda _: b"")
            for n in range(12)
        ]
        advance = asyncio.create_task(slad.engine.advance(NOW + 30 * MINUTE_MS))
        parts = [slad.engine.put("stream", starts[begin : begin + 4]) for begin in (0, 4, 8)]
        await settle()
        slad.journal.gate.set()
        await asyncio.gather(holding, advance, *parts)
        batches = [batch for batch in slad.journal.batches if batch.created or batch.events]
        told = next(b for b in batches if any(e.type == EventType.THRESHOLD_REACHED for e in b.events))
        assert not told.created
        created = [row.ticket_id for batch in batches for row in batch.created]
        assert created == ["due", "holding", *(f"T-{n}" for n in range(12))]


async def test_commands_of_a_stream_are_carried_out_together_and_refused_alone(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        missing = Pause(tenant_id="acme", ticket_id="none", reason=PauseReason.AWAITING_CLIENT)
        start = Start(tenant_id="acme", ticket_id="T-1", policy_id="p", terms=promise(60))
        pause = Pause(tenant_id="acme", ticket_id="T-1", reason=PauseReason.AWAITING_CLIENT)

        def fault(answer: object) -> bytes:
            raise ZeroDivisionError

        outcomes = await slad.engine.put(
            "s", [(missing, lambda _: b""), (start, lambda _: b"1"), (pause, fault), (pause, lambda _: b"2")]
        )
        assert [type(outcome) for outcome in outcomes] == [Refused, bytes, ZeroDivisionError, bytes]
        assert len(slad.journal.batches) == 1
        slad.engine.stop()
        with pytest.raises(Refused, match="stopping"):
            await slad.engine.put("s", [(start, lambda _: b"")])


async def test_what_is_costly_for_one_tenant_is_cut_and_others_come_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job takes longer than a turn may; the timers and the other tenant get their turns all the same."""
    monkeypatch.setattr(turn, "TURN_NS", 1)
    monkeypatch.setattr(turn, "HURRY_NS", 1)
    async with rig(tmp_path) as slad:
        await slad.start("due", minutes=60)
        order: list[str] = []
        slad.journal.gate.clear()
        holding = asyncio.create_task(slad.start("holding"))
        await settle()
        costly = [
            asyncio.create_task(
                slad.engine.write(lambda work, n=n: order.append(f"costly {n}"), tenant_id="greedy")
            )
            for n in range(20)
        ]
        await settle()
        other = Start(tenant_id="modest", ticket_id="T", policy_id="p", terms=promise(60))
        modest = asyncio.create_task(slad.engine.submit(other, lambda answer: order.append("modest") or b""))
        advance = asyncio.create_task(slad.engine.advance(NOW + 30 * MINUTE_MS))
        await settle()
        slad.journal.gate.set()
        await asyncio.gather(holding, modest, advance, *costly)
        assert order.index("modest") <= 1, "it waits for one job of the other, not for twenty"
        assert [name for name in order if name != "modest"] == [f"costly {n}" for n in range(20)]
        turns = [len(report.causes) for report in slad.observer.reports]
        assert max(turns) == 1, "no turn goes on when its time is up"
        types = [{event.type for event in batch.events} for batch in slad.journal.batches]
        reached = next(place for place, told in enumerate(types) if EventType.THRESHOLD_REACHED in told)
        assert reached <= 3, "the timer does not wait for them"


async def test_commands_whose_tickets_cannot_be_read_are_refused_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M8: each call has an answer, also when the disk fails before the first of a turn is carried out."""

    def unreadable(work: UnitOfWork, commands: object) -> None:
        raise apsw.IOError("disk I/O error")

    async with rig(tmp_path) as slad:
        with monkeypatch.context() as patch:
            patch.setattr(UnitOfWork, "foresee", unreadable)
            calls = [slad.start(f"T-{n}") for n in range(3)]
            outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
        assert {getattr(outcome, "reason", outcome) for outcome in outcomes} == {"CANNOT_WRITE"}


async def test_one_tenant_cannot_have_all_the_places(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        slad.engine.max_waiting = 40
        slad.journal.gate.clear()
        holding = asyncio.create_task(slad.start("holding"))
        await settle()
        calls = [
            asyncio.create_task(slad.engine.write(lambda work: None, tenant_id="greedy")) for _ in range(60)
        ]
        await settle()
        modest = asyncio.create_task(slad.engine.write(lambda work: None, tenant_id="modest"))
        await settle()
        slad.journal.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(holding, modest)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        assert len(refused) == 30
        assert {outcome.reason for outcome in refused} == {"OVERLOADED"}


def test_a_turn_ends_when_much_is_left_to_the_thread_that_writes() -> None:
    work = cast("Any", SimpleNamespace(left=0))

    def tell(work: Any, events: int) -> None:
        work.left += events

    queue, results = JobQueue(), list[turn.Result]()
    for events in (100, 100, 2_000, 100):
        queue.put(Job(partial(tell, events=events), cast("Any", None), stream="import"))
    work.foresee = lambda commands: None
    turn.carry_out(work, queue, results, turn.TURN_NS)
    assert (len(results), len(queue)) == (3, 1), "of 15 ms 22 are spoken for"
