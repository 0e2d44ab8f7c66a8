"""What the directory keeps in memory is bounded, and what it let go of is the same when it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from slad.core.instants import DAY_MS
from slad.core.schedule import Schedule
from slad.engine import catalog as catalog_module
from slad.engine.catalog import Catalog, LruCache
from slad.storage.codec import encode_schedule
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.rows import Batch
from slad.storage.store import Store
from tests.core.naive_hours import NaiveHours
from tests.core.tickets import at

MONDAY = at("2026-03-02T00:00:00Z")


def schedule(hour: int) -> Schedule:
    """Open every day from that hour on."""
    return NaiveHours("UTC", tuple((day, f"{hour:02}:00", "24:00", True) for day in range(7)), ()).schedule()


def test_what_was_used_last_stays() -> None:
    kept: LruCache[int, str] = LruCache(2)
    kept.put(1, "one")
    kept.put(2, "two")
    assert kept.get(1) == "one"
    kept.put(3, "three")
    assert [kept.get(key) for key in (1, 2, 3)] == ["one", None, "three"]


def test_few_calendars_are_kept_and_each_is_compiled_again_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "MAX_CALENDARS", 4)
    data = DataDirectory(tmp_path / "data")
    journal = Journal(data.writer())
    journal.commit(Batch(schedules=[(hour, *encode_schedule(schedule(hour))) for hour in range(1, 11)]))
    store = Store(data.reader())
    directory = Catalog(store)
    open_of_a_day = [directory.calendar(key).open_between(MONDAY, MONDAY + DAY_MS) for key in range(1, 11)]
    assert open_of_a_day == [(24 - hour) * DAY_MS // 24 for hour in range(1, 11)]
    latest = [directory.calendar(key) for key in range(7, 11)]
    assert [directory.calendar(key) for key in range(7, 11)] == latest, "kept"
    first = directory.calendar(1)
    assert first.open_between(MONDAY, MONDAY + DAY_MS) == open_of_a_day[0]
    assert directory.calendar(7) is not latest[0], "the one that was used longest ago had to go"
    assert directory.calendar(10) is latest[3]
    store.close()
    journal.close()
    data.close()
