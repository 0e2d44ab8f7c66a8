"""The near part of the wheel: pages from the store, memory that follows the near future."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from slad.core.instants import DAY_MS
from slad.engine import timers as timers_module
from slad.engine.timers import HORIZON_MS, PAGE, Timers
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.rows import Batch, TrackingRow
from slad.storage.store import Store

NOW = 1_772_442_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    directory = DataDirectory(tmp_path)
    yield directory
    directory.close()


def stored(directory: DataDirectory, wakes: list[int]) -> Store:
    rows = [TrackingRow(key, 1, f"T-{key}", 1, 1, wake, b"") for key, wake in enumerate(wakes, start=1)]
    Journal(directory.writer()).commit(Batch(created=rows))
    return Store(directory.reader())


def drain(timers: Timers, until: int) -> list[tuple[int, int]]:
    popped = []
    while timers.has_due(until):
        timers.fill(until)
        while (due := timers.pop(until)) is not None:
            popped.append(due)
    return popped


def test_memory_follows_the_near_future_not_the_number_of_tickets(directory: DataDirectory) -> None:
    far = [NOW + DAY_MS + n for n in range(3 * PAGE)]
    timers = Timers(stored(directory, [NOW + 5, *far]))
    timers.fill(NOW)
    assert len(timers) == 1
    assert timers.next_wake() <= NOW + 5


def test_everything_pops_once_in_order_page_by_page(directory: DataDirectory) -> None:
    choose = random.Random(7)
    wakes = [NOW - choose.randrange(DAY_MS) for _ in range(3 * PAGE)]
    timers = Timers(stored(directory, wakes))
    timers.fill(NOW)
    assert len(timers) <= PAGE
    popped = drain(timers, NOW)
    assert [wake for wake, _ in popped] == sorted(wakes)
    assert len({key for _, key in popped}) == len(wakes)


def test_more_than_a_page_at_one_instant(directory: DataDirectory) -> None:
    timers = Timers(stored(directory, [NOW - 1] * 3 + [NOW] * (PAGE + 5) + [NOW + 1]))
    assert len(drain(timers, NOW)) == PAGE + 8
    assert drain(timers, NOW + 1) == [(NOW + 1, PAGE + 9)]


def test_what_is_set_beyond_the_horizon_stays_on_disk(directory: DataDirectory) -> None:
    timers = Timers(stored(directory, []))
    timers.fill(NOW)
    timers.set(1, NOW + 3)
    timers.set(2, NOW + 10 * HORIZON_MS)
    assert len(timers) == 1
    timers.set(1, NOW + 10 * HORIZON_MS)
    assert len(timers) == 0


def test_the_refill_comes_before_anything_beyond_the_horizon_is_due(directory: DataDirectory) -> None:
    wakes = [NOW + n * HORIZON_MS // 3 for n in range(1, 12)]
    timers = Timers(stored(directory, wakes))
    timers.fill(NOW)
    now, popped = NOW, []
    while len(popped) < len(wakes):
        following = timers.next_wake()
        assert following > now or timers.has_due(now) or following >= now
        now = max(following, now + 1)
        for wake, _ in drain(timers, now):
            assert wake == now or wake > now - 2, "late: it was not in memory when it was due"
            popped.append(wake)
        timers.fill(now)
    assert popped == wakes


def test_restore_takes_the_stored_wake(directory: DataDirectory) -> None:
    timers = Timers(stored(directory, [NOW + 1, NOW + 2]))
    timers.fill(NOW)
    assert [timers.pop(NOW + 2), timers.pop(NOW + 2)] == [(NOW + 1, 1), (NOW + 2, 2)]
    timers.set(2, NOW + 9)
    timers.restore()
    assert drain(timers, NOW + 2) == [(NOW + 1, 1), (NOW + 2, 2)]


def test_after_a_step_back_nothing_is_early(directory: DataDirectory) -> None:
    timers = Timers(stored(directory, [NOW + 1000]))
    timers.fill(NOW + 500)
    assert timers.pop(NOW + 500) is None
    timers.rewind(NOW)
    timers.set(2, NOW + 100)
    assert timers.pop(NOW + 99) is None
    assert timers.pop(NOW + 100) == (NOW + 100, 2)
    assert timers_module.PAGE == PAGE


def test_there_is_always_something_to_wait_for(directory: DataDirectory) -> None:
    """At no instant is the next one to look now: the pump would look again and again until it has passed."""
    timers = Timers(stored(directory, []))
    timers.fill(NOW)
    for now in (NOW + HORIZON_MS - timers_module.REFILL_MS + offset for offset in (-1, 0, 1)):
        timers.fill(now)
        assert timers.next_wake() > now
