"""Calendars where clocks change, and on hosts of any zone (B5)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from slad.core.zones import load_zone
from tests.core.calendars import ALL_WEEK, WORKDAYS, busy_calendar, calendar, deadline, open_minutes
from tests.core.naive_hours import ms
from tests.paths import ROOT

# --- clocks that change (B5) ----------------------------------------------------------------------------


def test_a_skipped_hour_counts_nothing() -> None:
    whole = calendar("Europe/Berlin", ALL_WEEK)
    assert open_minutes(whole, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z") == 23 * 60
    night = calendar("Europe/Berlin", ((0, "01:30", "03:30", True),))
    assert open_minutes(night, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z") == 60
    assert deadline(night, "2026-03-28T23:00:00Z", 30) == "2026-03-29T01:00:00Z"
    assert deadline(night, "2026-03-28T23:00:00Z", 31) == "2026-03-29T01:01:00Z"
    gone = calendar("Europe/Berlin", ((0, "02:15", "02:45", True),))
    assert open_minutes(gone, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z") == 0
    assert deadline(gone, "2026-03-28T23:00:00Z", 30) == "2026-04-05T00:45:00Z"


def test_both_passes_of_a_repeated_hour_count() -> None:
    whole = calendar("Europe/Berlin", ALL_WEEK)
    assert open_minutes(whole, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z") == 25 * 60
    night = calendar("Europe/Berlin", ((0, "02:15", "02:45", True),))
    assert open_minutes(night, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z") == 60
    for minutes, expected in (
        (1, "2026-10-25T00:16:00Z"),
        (30, "2026-10-25T00:45:00Z"),  # the first pass closes
        (31, "2026-10-25T01:16:00Z"),  # the second has begun
        (60, "2026-10-25T01:45:00Z"),
        (61, "2026-11-01T01:16:00Z"),
    ):
        assert deadline(night, "2026-10-24T22:00:00Z", minutes) == expected
    assert open_minutes(night, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z") == 30


def test_closing_time_within_a_repeated_hour_closes_twice() -> None:
    made = calendar("Europe/Berlin", ((0, "01:00", "02:30", True),))
    start = ms("2026-10-24T22:00:00Z")
    found = [(part.from_ms, part.to_ms) for part in made.segments(start, start + DAY_MS) if part.is_open]
    assert found == [
        (ms("2026-10-24T23:00:00Z"), ms("2026-10-25T00:30:00Z")),
        (ms("2026-10-25T01:00:00Z"), ms("2026-10-25T01:30:00Z")),
    ]
    assert made.advance_many(start, [90 * MINUTE_MS, 91 * MINUTE_MS]) == [
        ms("2026-10-25T00:30:00Z"),
        ms("2026-10-25T01:01:00Z"),
    ]


def test_many_spans_notice_closing_time_to_the_millisecond() -> None:
    made = calendar("Europe/Berlin", WORKDAYS)
    start, closing = ms("2026-03-06T15:00:00Z"), ms("2026-03-06T16:00:00Z")
    assert made.advance_many(start, [1, HOUR_MS - 1, HOUR_MS, HOUR_MS + 1]) == [
        start + 1,
        closing - 1,
        closing,
        ms("2026-03-09T08:00:00.001Z"),
    ]


@pytest.mark.parametrize(("midnight", "hours"), [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25)])
def test_many_spans_notice_a_change_of_clocks_within_a_window(midnight: str, hours: int) -> None:
    made = calendar("Europe/Berlin", ((0, "00:00", "24:00", True),))
    start = ms(midnight)
    spans = [HOUR_MS // 2 * halves for halves in range(1, 2 * 26 + 1)]
    expected = [start + span if span <= hours * HOUR_MS else made.advance(start, span) for span in spans]
    assert made.advance_many(start, spans) == expected
    assert made.advance_many(start, [1, *spans[-4:]])[1:] == expected[-4:]


@pytest.mark.parametrize("asked_before", [[], [-1], [0], [-1, 0], [1]])
def test_the_instant_of_a_change_of_clocks_has_the_new_time(asked_before: list[int]) -> None:
    change = ms("2026-03-29T01:00:00Z")  # 02:00 becomes 03:00
    made = calendar("Europe/Berlin", ((0, "03:00", "04:00", True),))
    for offset in asked_before:
        made.open_between(change + offset - 5, change + offset)
    assert [made.is_open(change - 1), made.is_open(change)] == [False, True]
    gone = calendar("Europe/Berlin", ((0, "02:00", "03:00", True),))
    for offset in asked_before:
        gone.is_open(change + offset)
    assert [gone.is_open(change - 1), gone.is_open(change)] == [False, False]


def test_half_an_hour_in_lord_howe() -> None:
    made = calendar("Australia/Lord_Howe", ALL_WEEK)
    assert open_minutes(made, "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z") == 23.5 * 60
    night = calendar("Australia/Lord_Howe", ((0, "01:30", "02:00", True),))
    assert open_minutes(night, "2026-04-04T12:00:00Z", "2026-04-05T12:00:00Z") == 60


@pytest.mark.parametrize("timezone", ["America/Santiago", "Africa/Cairo", "Asia/Beirut"])
def test_a_midnight_that_is_skipped(timezone: str) -> None:
    made = calendar(timezone, tuple((day, "00:00", "01:00", True) for day in range(7)))
    first = ms("2026-01-01T12:00:00Z")
    [skip] = [
        change
        for change in load_zone(timezone).transitions(first, first + 364 * DAY_MS)
        if change.after_ms > change.before_ms
    ]
    assert made.open_between(skip.at_ms - 12 * HOUR_MS, skip.at_ms + 12 * HOUR_MS) == 0
    assert made.open_between(skip.at_ms - 36 * HOUR_MS, skip.at_ms + 36 * HOUR_MS) == 2 * HOUR_MS


def test_a_skipped_day_is_not_worked() -> None:
    """Apia had no Friday 2011-12-30. A night of that Friday still belongs to the Saturday's small hours."""
    made = calendar("Pacific/Apia", WORKDAYS)
    assert open_minutes(made, "2011-12-26T00:00:00-10:00", "2012-01-01T00:00:00+14:00") == 4 * 480
    assert deadline(made, "2011-12-29T16:00:00-10:00", 61) == "2012-01-01T19:01:00Z"
    nights = calendar("Pacific/Apia", ((5, "22:00", "06:00", True),))
    assert open_minutes(nights, "2011-12-29T12:00:00-10:00", "2012-01-01T00:00:00+14:00") == 6 * 60
    closed = calendar("Pacific/Apia", ((5, "22:00", "06:00", True),), ("2011-12-30", False, ""))
    assert open_minutes(closed, "2011-12-29T12:00:00-10:00", "2012-01-01T00:00:00+14:00") == 0


def test_a_day_skipped_and_a_day_repeated_in_kwajalein() -> None:
    made = calendar("Pacific/Kwajalein", ALL_WEEK)
    start, end = ms("1969-01-01T00:00:00Z"), ms("1994-01-01T00:00:00Z")
    assert made.open_between(start, end) == end - start
    saturdays = calendar("Pacific/Kwajalein", ((6, "12:00", "13:00", True),))
    assert open_minutes(saturdays, "1993-08-16T00:00:00Z", "1993-08-27T00:00:00Z") == 0
    tuesdays = calendar("Pacific/Kwajalein", ((2, "12:00", "13:00", True),))
    # The clocks went from 1969-10-01T00:00+11 back to 1969-09-30T01:00-12: a Tuesday twice.
    assert open_minutes(tuesdays, "1969-09-29T00:00:00Z", "1969-10-02T00:00:00Z") == 120
    assert deadline(tuesdays, "1969-09-29T00:00:00Z", 60) == "1969-09-30T02:00:00Z"
    assert deadline(tuesdays, "1969-09-29T00:00:00Z", 61) == "1969-10-01T00:01:00Z"


def test_ranges_of_clock_changes_join_in_whatever_order_they_are_asked_for() -> None:
    """Always open, so that the totals before the first change of clocks exceed any other."""
    made = calendar("America/New_York", ALL_WEEK)
    years = [1975, 1883, 1, 1974, 9998, 1950, 2500, 1884]
    for year in years:
        start = ms(f"{year:04}-01-01T00:00:00Z")
        assert made.is_open(start)
        for other in years:
            end = ms(f"{other:04}-01-01T00:00:00Z")
            assert made.open_between(start, end) == max(0, end - start)
        assert made.advance(start, HOUR_MS) == start + HOUR_MS


# --- the host (B5) and threads --------------------------------------------------------------------------


@pytest.fixture(
    params=["UTC", "America/New_York", "Pacific/Kiritimati", "Europe/Berlin", "XXX-5:30YYY,0/0,J365/23"]
)
def host_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


ANSWERS = """
from slad.core.calendar import compile_calendar
from slad.core.near_weeks import NEAR_AFTER
from slad.core.schedule import build_schedule
from tests.paths import ROOT, VECTORS
def answers():
    made = compile_calendar(build_schedule(
        timezone="Europe/Berlin", is_24x7=False,
        entries=[(day, "01:00", "17:30", True) for day in range(7)],
        holidays=[("2026-12-25T00:00:00.000Z", True, ""), ("2026-04-06", False, "")]))
    start = 1767225600000
    spans = [day * 86400000 for day in range(1, 400)]
    return hash((tuple(made.advance_many(start, spans)),
                 tuple(made.open_between(start, start + span) for span in spans),
                 tuple(made.segments(start, start + spans[-1]))[10][:3]))
"""


def answers_here() -> int:
    names: dict[str, Any] = {}
    exec(ANSWERS, names)
    result = names["answers"]()
    assert isinstance(result, int)
    return result


HERE = answers_here()


def test_the_zone_of_the_host_never_matters(host_zone: str) -> None:
    assert answers_here() == HERE, host_zone


def test_the_zone_database_of_the_host_never_matters(tmp_path: Path) -> None:
    fake = tmp_path / "Europe" / "Berlin"
    fake.parent.mkdir()
    fake.write_bytes(b"not a time zone")
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path), "TZDIR": str(tmp_path), "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS + "print(answers())"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == HERE


def test_threads_may_share_a_calendar() -> None:
    first = ms("2000-01-01T00:00:00Z")
    questions = [(first + n * 97 * DAY_MS, (n * 53 % 400 + 1) * HOUR_MS) for n in range(-400, 400)]
    questions = questions[::7] + questions[::-5] + questions[::3]
    alone = busy_calendar("America/New_York")
    expected = [alone.advance(start, span_ms) for start, span_ms in questions]
    shared = busy_calendar("America/New_York")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda question: shared.advance(*question), questions))
    finally:
        sys.setswitchinterval(interval)
    assert found == expected
