"""The wall clock is stepped under a running engine, and between two of its runs; an injected clock (C5)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from slad_client.v1 import types_pb2 as pb

from slad.core.events import EventType, PauseReason
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from slad.engine import engine as engine_module
from slad.engine.commands import Pause, Resume
from tests.engine.test_engine import NOW, Rig, rig, until

TARGET = 60
"""Minutes; 50 and 100 % of it are announced."""

STEPS = {
    "minutes": 45 * MINUTE_MS,
    "hours": 9 * HOUR_MS,
    "a year": 366 * DAY_MS,
    "twenty years": 20 * 365 * DAY_MS,
}


class Clock:
    """Wall and monotonic time, each in the test's hands. In suspension the monotonic one stands still."""

    is_virtual = False

    def __init__(self, now: int = NOW) -> None:
        self.wall = now
        self._passed = 0

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> int:
        return self._passed

    def reach(self, instant: int) -> None:
        pass

    def pass_by(self, ms: int) -> None:
        self.wall += ms
        self._passed += ms

    def step(self, ms: int) -> None:
        self.wall += ms


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine looks at its clock every ms; by itself it does so every second."""
    monkeypatch.setattr(engine_module, "MAX_SLEEP_MS", 1)


def reached(slad: Rig) -> list[tuple[int, int, int]]:
    """(percent, scheduled, fired), both in ms since NOW."""
    found = []
    for row in slad.published:
        if row.type == EventType.THRESHOLD_REACHED:
            threshold = pb.SlaEvent.FromString(row.body).threshold
            scheduled, fired = threshold.scheduled_at, threshold.fired_at
            found.append((threshold.percent, scheduled.ToMilliseconds() - NOW, fired.ToMilliseconds() - NOW))
    return found


def steps(slad: Rig) -> tuple[int, int]:
    """(forward, backward) as they are counted."""
    return slad.engine.counts.clock_steps_forward, slad.engine.counts.clock_steps_backward


async def looked(slad: Rig) -> None:
    """Lets the engine look at the clock, which it does in every turn."""
    for _ in range(3):
        await slad.engine.write(lambda work: None)
        await asyncio.sleep(0)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_forward_what_is_overdue_fires_at_once_in_order_and_the_step_is_counted(
    tmp_path: Path, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    async with rig(tmp_path, clock) as slad:
        await slad.start("A", TARGET)
        await slad.start("B", TARGET // 2)
        clock.step(step)
        expected = [(50, 15), (50, 30), (100, 30), (100, 60)]
        due = [(percent, at * MINUTE_MS, step) for percent, at in expected if at * MINUTE_MS <= step]
        await until(lambda: len(reached(slad)) == len(due))
        assert sorted(reached(slad)) == sorted(due)
        assert [at for _, at, _ in reached(slad)] == sorted(at for _, at, _ in due)
        await until(lambda: steps(slad) == (1, 0))
        assert f"stepped by +{step} ms" in caplog.text


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_backward_nothing_fires_early_or_twice_and_goes_on_when_the_time_is_made_up(
    tmp_path: Path, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    async with rig(tmp_path, clock) as slad:
        await slad.start("A", TARGET)
        clock.pass_by(31 * MINUTE_MS)
        await until(lambda: len(reached(slad)) == 1)
        clock.step(-step)
        await until(lambda: steps(slad) == (0, 1))
        assert f"stepped by -{step} ms" in caplog.text
        # What happens meanwhile happens after what has happened.
        assert (
            await slad.ask(Pause(tenant_id="acme", ticket_id="A", reason=PauseReason.STATUS_PAUSE))
        ).changed
        assert (await slad.ask(Resume(tenant_id="acme", ticket_id="A"))).changed
        clock.pass_by(step - MINUTE_MS)
        await looked(slad)
        assert len(reached(slad)) == 1, "not again, and not early"
        clock.pass_by(30 * MINUTE_MS - 1)
        await looked(slad)
        assert len(reached(slad)) == 1
        clock.pass_by(1)
        await until(lambda: len(reached(slad)) == 2)
        assert [percent for percent, _, _ in reached(slad)] == [50, 100]
        assert all(scheduled <= fired for _, scheduled, fired in reached(slad))
        assert steps(slad) == (0, 1)
        told = [EventType(row.type).name for row in slad.published]
        assert told == ["STARTED", "THRESHOLD_REACHED", "PAUSED", "RESUMED", "THRESHOLD_REACHED"]


async def test_a_suspension_shows_as_a_step_forward(tmp_path: Path) -> None:
    """The monotonic clock stands still meanwhile, and the wall clock does not."""
    clock = Clock()
    async with rig(tmp_path, clock) as slad:
        await slad.start("A", TARGET)
        clock.pass_by(10 * MINUTE_MS)
        await looked(slad)
        clock.step(8 * HOUR_MS)
        await until(lambda: len(reached(slad)) == 2)
        assert [(percent, at) for percent, at, _ in reached(slad)] == [
            (50, 30 * MINUTE_MS),
            (100, 60 * MINUTE_MS),
        ]
        assert steps(slad) == (1, 0)


async def test_there_and_back_fires_once_and_counts_both(tmp_path: Path) -> None:
    clock = Clock()
    async with rig(tmp_path, clock) as slad:
        await slad.start("A", TARGET)
        for number in range(1, 4):
            clock.step(STEPS["a year"])
            await until(lambda number=number: steps(slad)[0] == number)
            clock.step(-STEPS["a year"])
            await until(lambda number=number: steps(slad)[1] == number)
        clock.pass_by(2 * HOUR_MS)
        await looked(slad)
        assert [percent for percent, _, _ in reached(slad)] == [50, 100]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_a_start_with_the_clock_before_the_last_commit(tmp_path: Path, step: int) -> None:
    clock = Clock()
    async with rig(tmp_path, clock) as slad:
        await slad.start("A", TARGET)
        clock.pass_by(31 * MINUTE_MS)
        await until(lambda: len(reached(slad)) == 1)
        last = slad.engine.sequence
    clock.step(-step)
    async with rig(tmp_path, clock) as slad:
        await looked(slad)
        assert slad.published == [], "nothing again"
        await slad.start("B", TARGET)
        assert slad.published[0].sequence == last + 1
        clock.pass_by(step + 29 * MINUTE_MS)
        await until(lambda: len(reached(slad)) >= 3)
        await looked(slad)
        told = [(pb.SlaEvent.FromString(row.body).ticket_id, row.type) for row in slad.published[1:]]
        assert [name for name, _ in told].count("A") == 1, "100 % only"
