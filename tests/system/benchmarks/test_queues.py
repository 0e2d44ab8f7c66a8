"""The heap that the wheel is held against does the same as the wheel, or the comparison says nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from random import Random

from benchmarks.lazy_heap import SWEEP_FROM, LazyHeap
from benchmarks.results import Result
from benchmarks.row import Options
from benchmarks.rows.wheel import NOW_MS, ROW, Work, perform
from slad.core.wheel import TimingWheel


def test_both_pop_the_same_in_the_same_order() -> None:
    work = Work.of(2_000)
    _, wheel = perform(TimingWheel(NOW_MS), work)
    _, heap = perform(LazyHeap(), work)
    assert wheel == heap
    assert len(wheel) == work.left == 1_500


def test_both_agree_when_timers_are_armed_between_pops() -> None:
    random, now = Random(1), NOW_MS
    wheel, heap = TimingWheel(now), LazyHeap()
    for _ in range(20_000):
        key = random.randrange(300)
        match random.randrange(4):
            case 0:
                now += random.randrange(20)
                while (due := wheel.pop(now)) is not None:
                    assert heap.pop(now) == due
                assert heap.pop(now) is None
            case 1:
                assert heap.cancel(key) == wheel.cancel(key)
            case _:
                deadline = now + random.randrange(1, 2_000)
                wheel.arm(key, deadline)
                heap.arm(key, deadline)
        assert len(heap) == len(wheel)


def test_cancelled_entries_are_swept_when_they_are_more_than_half() -> None:
    heap = LazyHeap()
    for round_ in range(10):
        for key in range(200):
            heap.arm(key, round_)
            assert heap.entries <= max(2 * len(heap), SWEEP_FROM)
    for key in range(200):
        assert heap.cancel(key)
        assert heap.entries <= max(2 * len(heap), SWEEP_FROM)
    assert not heap.cancel(0)
    assert heap.pop(10) is None


def test_the_row_can_be_kept_and_has_what_the_table_shows() -> None:
    result = ROW.run(Options(repeats=1, large=1_000))
    assert Result(**json.loads(json.dumps(asdict(result)))) == result
    assert set(ROW.reported) <= set(result.figures)
