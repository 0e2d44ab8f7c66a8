"""The pump: group commit, failed commits, callers that leave, timers before commands, clock steps."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from slad.core.errors import Refused
from slad.core.events import EventType, PauseReason
from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.engine import engine as engine_module
from slad.engine.carrier import LocalCarrier
from slad.engine.catalog import Catalog
from slad.engine.commands import Answer, Pause, Start, TermsOffer
from slad.engine.engine import SlaEngine
from slad.engine.listeners import Listeners, TurnReport
from slad.engine.time_source import StepDetector, VirtualClock
from slad.engine.turn import MAX_TIMERS
from slad.storage.database import DataDirectory
from slad.storage.journal import CannotWrite, Journal
from slad.storage.rows import Batch, EventRow
from slad.storage.store import Store

import apsw  # isort: skip

NOW = 1_772_442_000_000


class FaultyJournal(Journal):
    """A journal whose commits can be held up, or made to fail."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__(connection)
        self.batches: list[Batch] = []
        self.failures: list[apsw.Error] = []
        self.gate = threading.Event()
        self.gate.set()

    def commit(self, batch: Batch) -> None:
        self.gate.wait(10)
        if self.failures:
            raise CannotWrite(self.failures.pop())
        super().commit(batch)
        self.batches.append(batch)


class Observer:
    def __init__(self) -> None:
        self.causes = 0
        self.reports: list[TurnReport] = []

    def cause(self) -> int:
        self.causes += 1
        return self.causes

    def turn(self, report: TurnReport) -> None:
        self.reports.append(report)


class Rig:
    def __init__(self, data: DataDirectory, clock: Any) -> None:
        self.journal = FaultyJournal(data.writer())
        self.store = self.journal.store
        self.clock = clock
        self.published: list[EventRow] = []
        self.observer = Observer()
        listeners = Listeners(self.published.extend, observer=self.observer)
        self.engine = SlaEngine(self.journal, Catalog(Store(data.reader())), clock, LocalCarrier(), listeners)

    async def start(self, ticket_id: str, minutes: int = 60) -> Answer:
        return await self.ask(
            Start(tenant_id="acme", ticket_id=ticket_id, policy_id="p", terms=promise(minutes))
        )

    async def ask(self, command: Any) -> Answer:
        heard: list[Answer] = []

        def render(answer: Answer) -> bytes:
            heard.append(answer)
            return b""

        await self.engine.submit(command, render)
        return heard[-1]

    def told(self) -> list[str]:
        return [EventType(event.type).name for event in self.published]


def promise(minutes: int) -> TermsOffer:
    return TermsOffer("", minutes * MINUTE_MS, 0, (50,), (0, 0, 0), None, "targets[0]")


@asynccontextmanager
async def rig(tmp_path: Path, clock: Any = None) -> AsyncIterator[Rig]:
    data = DataDirectory(tmp_path)
    made = Rig(data, clock or VirtualClock(NOW))
    made.engine.prepare()
    pump = asyncio.create_task(made.engine.run())
    try:
        yield made
    finally:
        made.journal.gate.set()
        made.engine.stop()
        await pump
        data.close()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the pump has no event for it
            await asyncio.sleep(0.001)


async def test_commands_that_wait_share_a_commit(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        slad.journal.gate.clear()
        starts = [asyncio.create_task(slad.start(f"T-{n}")) for n in range(50)]
        await settle()
        slad.journal.gate.set()
        await asyncio.gather(*starts)
        sizes = [len(batch.created) for batch in slad.journal.batches]
        assert sum(sizes) == 50
        assert len(sizes) <= 2


async def test_no_answer_before_the_commit(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        slad.journal.gate.clear()
        start = asyncio.create_task(slad.start("T"))
        await settle()
        assert not start.done()
        assert slad.published == []
        slad.journal.gate.set()
        await start
        assert slad.told() == ["STARTED"]


async def test_a_caller_that_leaves_does_not_tear_the_commit(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        slad.journal.gate.clear()
        leaving = asyncio.create_task(slad.start("gone"))
        staying = asyncio.create_task(slad.start("here"))
        await settle()
        leaving.cancel()
        slad.journal.gate.set()
        await staying
        assert len(slad.published) == 2
        with pytest.raises(asyncio.CancelledError):
            await leaving


@pytest.mark.parametrize(
    ("fault", "reason"), [(apsw.FullError("disk full"), "DISK_FULL"), (apsw.IOError("EIO"), "CANNOT_WRITE")]
)
async def test_a_failed_commit_refuses_its_callers_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: apsw.Error, reason: str
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_S", 0)
    async with rig(tmp_path) as slad:
        await slad.start("A")
        slad.journal.failures = [fault]
        with pytest.raises(Refused) as caught:
            await slad.start("B")
        assert caught.value.reason == reason
        with pytest.raises(Refused, match="no tracking"):
            await slad.ask(Pause(tenant_id="acme", ticket_id="B", reason=PauseReason.STATUS_PAUSE))
        again = await slad.start("B")
        assert again.ticket.generation == 1
        assert [event.sequence for event in slad.published] == [1, 2]


async def test_timers_of_a_failed_commit_fire_in_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_S", 0)
    async with rig(tmp_path) as slad:
        await slad.start("A")
        slad.journal.failures = [apsw.FullError("disk full")] * 3
        await slad.engine.advance(NOW + 2 * HOUR_MS)
        assert slad.told() == ["STARTED", "THRESHOLD_REACHED", "THRESHOLD_REACHED"]
        assert [event.sequence for event in slad.published] == [1, 2, 3]


async def test_a_flood_of_commands_is_refused_beyond_the_bound_and_does_not_delay_timers(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as slad:
        slad.engine.max_waiting = 300
        await slad.start("A")
        slad.journal.gate.clear()
        first = asyncio.create_task(slad.start("first"))
        await settle()
        flood = [asyncio.create_task(slad.start(f"T-{n}")) for n in range(400)]
        moved = asyncio.create_task(slad.engine.advance(NOW + 30 * MINUTE_MS))
        await settle()
        slad.journal.gate.set()
        await first
        results = await asyncio.gather(*flood, return_exceptions=True)
        await moved
        refused = [r for r in results if isinstance(r, Refused)]
        assert len(refused) == 175, "a quarter of the places is for other tenants"
        assert {r.reason for r in refused} == {"OVERLOADED"}
        kinds = slad.told()
        assert kinds[2] == "THRESHOLD_REACHED", "in the first commit after the one under way"


async def test_one_unreadable_tracking_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path) as slad:
        await slad.start("A")
        await slad.start("B")
        slad.journal._connection.execute("UPDATE tracking SET body = x'00' WHERE ticket_id = 'A'")
        await slad.engine.advance(NOW + HOUR_MS)
        assert slad.told() == ["STARTED", "STARTED", "THRESHOLD_REACHED", "THRESHOLD_REACHED"]
        assert "tracking 1 cannot fire" in caplog.text


async def test_stopping_finishes_what_waits_and_refuses_what_comes(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        waiting = asyncio.create_task(slad.start("A"))
        await settle()
        slad.engine.stop()
        with pytest.raises(Refused) as caught:
            await slad.start("B")
        assert caught.value.reason == "STOPPING"
        assert (await waiting).ticket.generation == 1


async def test_stopping_at_once_refuses_what_waits(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        slad.journal.gate.clear()
        under_way = asyncio.create_task(slad.start("A"))
        await settle()
        waiting = asyncio.create_task(slad.start("B"))
        await settle()
        slad.engine.stop(at_once=True)
        slad.journal.gate.set()
        with pytest.raises(Refused) as caught:
            await waiting
        assert caught.value.reason == "STOPPING"
        assert (await under_way).ticket.generation == 1, "its turn has begun"
        assert slad.told() == ["STARTED"]


class SteppedClock:
    """A wall clock that the test sets."""

    is_virtual = False

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def monotonic(self) -> int:
        return 0

    def reach(self, instant: int) -> None:
        pass

    def set(self, now: int) -> None:
        self._now = now


async def test_a_wall_clock_stepped_forward_fires_at_once_and_back_fires_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "MAX_SLEEP_MS", 1)
    clock = SteppedClock(NOW)
    async with rig(tmp_path, clock) as slad:
        await slad.start("A")
        clock.set(NOW + 31 * MINUTE_MS)
        await until(lambda: len(slad.published) == 2)
        clock.set(NOW)
        steps = slad.engine.counts
        await until(lambda: (steps.clock_steps_forward, steps.clock_steps_backward) == (1, 1))
        clock.set(NOW + 45 * MINUTE_MS)
        await until(lambda: (steps.clock_steps_forward, steps.clock_steps_backward) == (2, 1))
        clock.set(NOW + 61 * MINUTE_MS)
        await until(lambda: len(slad.published) == 3)
        assert slad.told() == ["STARTED", "THRESHOLD_REACHED", "THRESHOLD_REACHED"]
        assert "stepped by +1860000 ms" in caplog.text
        assert "stepped by -1860000 ms" in caplog.text


def test_ordinary_drift_is_no_step() -> None:
    steps = StepDetector(1_000_000, 500)
    assert steps.step(1_001_000, 1_400) == 0
    assert steps.step(1_002_100, 2_400) == 0
    assert steps.step(1_062_100, 2_400) == 60_000
    assert steps.step(1_063_100, 3_400) == 0


async def test_a_stop_does_not_wait_for_all_that_is_overdue(tmp_path: Path) -> None:
    number = 3 * MAX_TIMERS
    async with rig(tmp_path) as slad:
        await asyncio.gather(*(slad.start(f"T-{place}") for place in range(number)))
    async with rig(tmp_path, VirtualClock(NOW + HOUR_MS)) as slad:
        slad.engine.stop(at_once=True)
    assert 0 < slad.told().count("THRESHOLD_REACHED") <= MAX_TIMERS * 2
    async with rig(tmp_path, VirtualClock(NOW + HOUR_MS)) as again:
        await until(lambda: not again.engine.look_at_timers(NOW + HOUR_MS).overdue)
    fired = [*slad.published, *again.published]
    assert Counter(event.tracking_key for event in fired) == dict.fromkeys(range(1, number + 1), 2)
