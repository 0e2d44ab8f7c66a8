"""What the engine counts of itself, and what following its turns shows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from slad.core.errors import Refused
from slad.core.events import EventType
from slad.core.metrics import Histogram, durations
from slad.engine import engine as engine_module
from slad.engine.commands import Start
from slad.engine.engine_metrics import EngineMetrics
from tests.engine.test_engine import NOW, SteppedClock, promise, rig, settle, until

MINUTE_MS = 60_000


def test_a_value_lies_in_the_first_bucket_that_it_does_not_exceed() -> None:
    histogram = Histogram((1, 5, 10))
    for value in (0, 1, 2, 5, 6, 10, 11, 1_000):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2, 2]
    assert histogram.count == 8
    assert histogram.total == 1_035


def test_durations_are_taken_in_nanoseconds() -> None:
    histogram = durations(0.5, 1)
    histogram.observe(500_000)
    histogram.observe(500_001)
    assert histogram.counts == [1, 1, 0]
    assert histogram.per_unit == 1_000_000_000


async def test_commits_their_sizes_events_and_breaches(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        counts = slad.engine.counts
        assert counts.last_commit_at is None
        slad.journal.gate.clear()
        starts = [asyncio.create_task(slad.start(f"T-{n}")) for n in range(20)]
        await settle()
        slad.journal.gate.set()
        await asyncio.gather(*starts)
        assert counts.commit_commands.count == counts.commit_time.count == len(slad.journal.batches)
        assert counts.commit_commands.total == 20
        assert counts.last_commit_at == NOW
        assert counts.events[EventType.STARTED] == 20

        await slad.engine.advance(NOW + 30 * MINUTE_MS)
        assert counts.events[EventType.THRESHOLD_REACHED] == 20
        assert counts.breaches["response"] == 0
        await slad.engine.advance(NOW + 60 * MINUTE_MS)
        assert counts.breaches["response"] == 20
        assert counts.commit_commands.counts[0] >= 2, "commits of timers alone"


async def test_breaches_that_a_late_start_finds_are_counted_but_are_not_late(tmp_path: Path) -> None:
    async with rig(tmp_path, SteppedClock(NOW)) as slad:
        start = Start(
            tenant_id="acme",
            ticket_id="T",
            policy_id="p",
            terms=promise(60),
            started_at=NOW - 120 * MINUTE_MS,
        )
        await slad.ask(start)
        assert slad.engine.counts.breaches["response"] == 1
        assert slad.engine.counts.lateness.count == 0


async def test_lateness_of_what_a_timer_fires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MAX_SLEEP_MS", 1)
    clock = SteppedClock(NOW)
    async with rig(tmp_path, clock) as slad:
        await slad.start("A")
        clock.set(NOW + 30 * MINUTE_MS + 7)
        await until(lambda: len(slad.published) == 2)
        lateness = slad.engine.counts.lateness
        await until(lambda: lateness.count == 1)
        assert lateness.total == 7


async def test_a_turn_that_fails_counts_nothing_but_its_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_S", 0)
    async with rig(tmp_path) as slad:
        slad.journal.failures = [apsw.FullError("disk full")]
        with pytest.raises(Refused):
            await slad.start("A")
        counts = slad.engine.counts
        assert counts.commit_failures == 1
        assert counts.events[EventType.STARTED] == 0
        await until(lambda: slad.engine.writable)


async def test_timers_as_they_are_told(tmp_path: Path) -> None:
    async with rig(tmp_path) as slad:
        await slad.start("near", minutes=2)
        await slad.start("far", minutes=600)
        now = NOW
        source = EngineMetrics(slad.engine, lambda: now)
        values = await told(source)
        assert (values["slad_timers_armed"], values["slad_timers_overdue"]) == (1, 0)
        assert values["slad_timers_overdue_seconds"] == 0
        assert values["slad_head_sequence"] == 2
        now += MINUTE_MS + 1_500
        values = await told(source)
        assert values["slad_timers_overdue"] == 1
        assert values["slad_timers_overdue_seconds"] == 1.5


async def test_what_waits_for_the_disk_counts_as_overdue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_S", 0)
    async with rig(tmp_path) as slad:
        await slad.start("A", minutes=2)
        await slad.start("B", minutes=4)
        full = slad.journal.failures = [apsw.FullError("disk full")] * 1_000_000
        advance = asyncio.create_task(slad.engine.advance(NOW + 3 * MINUTE_MS))
        await until(lambda: not slad.engine.writable)
        values = await told(EngineMetrics(slad.engine, lambda: NOW + 3 * MINUTE_MS))
        assert (values["slad_timers_armed"], values["slad_timers_overdue"]) == (2, 2)
        assert values["slad_timers_overdue_seconds"] == 120
        full.clear()
        await advance
        values = await told(EngineMetrics(slad.engine, lambda: NOW + 3 * MINUTE_MS))
        assert (values["slad_timers_overdue"], values["slad_timers_overdue_seconds"]) == (0, 0)


async def told(source: EngineMetrics) -> dict[str, Any]:
    return {sample.metric.name: sample.value for sample in await source.samples() if not sample.labels}


async def test_an_observer_hears_of_every_turn_and_whose_commands_it_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RETRY_S", 0)
    async with rig(tmp_path) as slad:
        observer = slad.observer
        slad.journal.gate.clear()
        starts = [asyncio.create_task(slad.start(f"T-{n}")) for n in range(3)]
        await settle()
        slad.journal.gate.set()
        await asyncio.gather(*starts)
        slad.journal.failures = [apsw.FullError("disk full")]
        with pytest.raises(Refused):
            await slad.start("B")
        await until(lambda: slad.engine.writable)
        await slad.engine.advance(NOW + 30 * MINUTE_MS)
        reports = observer.reports
        assert [cause for report in reports for cause in report.causes] == [1, 2, 3, 4]
        assert [bool(report.error) for report in reports if report.causes == [4]] == [True]
        assert sum(report.events for report in reports) == 6
        assert all(report.began <= report.built <= report.ended for report in reports)
