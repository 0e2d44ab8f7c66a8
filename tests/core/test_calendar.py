"""Compiled calendars by worked examples: the shared vectors, and the corners of B1–B7 one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from slad.core.calendar import Calendar, Segment, compile_calendar
from slad.core.errors import DeadlineOutOfRange
from slad.core.instants import DAY_MS, HOUR_MS, MAX_INSTANT_MS, MINUTE_MS, format_instant
from slad.core.near_weeks import NEAR_AFTER
from slad.core.schedule import ALWAYS, Holiday, Schedule, Window
from slad.core.zones import load_zone
from tests.core.naive_hours import Entry, NaiveHours, ms
from tests.core.tickets import schedule_of
from tests.paths import ROOT, VECTORS

CASES = [
    case
    for name in ("business_time", "date_overrides")
    for case in json.loads((VECTORS / f"{name}.json").read_text())["cases"]
]

WORKDAYS: tuple[Entry, ...] = tuple((day, "09:00", "17:00", True) for day in range(1, 6))
ALL_WEEK: tuple[Entry, ...] = tuple((day, "00:00", "24:00", True) for day in range(7))
EVERY_DATE = [str(date(2024, 1, 1) + timedelta(n)) for n in range(366)]


def calendar(timezone: str, entries: tuple[Entry, ...], *holidays: tuple[str, bool, str]) -> Calendar:
    return compile_calendar(NaiveHours(timezone, entries, holidays).schedule())


def one_off(*dates: str) -> list[tuple[str, bool, str]]:
    return [(text, False, "") for text in dates]


def recurring(*dates: str) -> list[tuple[str, bool, str]]:
    return [(text, True, "") for text in dates]


def open_minutes(made: Calendar, start: str, end: str) -> float:
    return made.open_between(ms(start), ms(end)) / MINUTE_MS


def deadline(made: Calendar, start: str, minutes: float) -> str:
    return format_instant(made.advance(ms(start), round(minutes * MINUTE_MS)))


# --- the vectors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("questions", [0, NEAR_AFTER], ids=["by layers", "laid out"])
def test_all_vectors(questions: int) -> None:
    wrong = []
    for number, case in enumerate(CASES):
        made, start = compile_calendar(schedule_of(case["schedule"])), ms(case["start"])
        for _ in range(questions):
            made.advance_many(start, [MINUTE_MS])
        if case["kind"] == "deadline":
            (found,) = made.advance_many(start, [case["minutes"] * MINUTE_MS])
            expected = ms(case["expect"])
            assert made.advance(start, case["minutes"] * MINUTE_MS) == found
        else:
            found, expected = made.open_between(start, ms(case["end"])), case["expect_minutes"] * MINUTE_MS
        if found != expected:
            wrong.append((number, case["kind"], case["schedule"]["timezone"], found, expected))
    assert len(CASES) == 1_400
    assert wrong == []


# --- deadlines (B3) -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "minutes", "expected"),
    [
        ("2026-03-06T15:00:00Z", 60, "2026-03-06T16:00:00Z"),  # closing time, not the next opening
        ("2026-03-06T15:00:00Z", 61, "2026-03-09T08:01:00Z"),
        ("2026-03-06T15:00:00Z", 0, "2026-03-06T15:00:00Z"),
        ("2026-03-07T12:00:00Z", 0, "2026-03-07T12:00:00Z"),  # closed, but nothing is to be waited for
        ("2026-03-07T12:00:00Z", 1, "2026-03-09T08:01:00Z"),
        ("2026-03-06T16:00:00Z", 480, "2026-03-09T16:00:00Z"),
        ("2026-03-06T15:00:00.250Z", 60, "2026-03-09T08:00:00.250Z"),
        ("2026-03-06T15:59:59.999Z", 1 / 60_000, "2026-03-06T16:00:00Z"),
    ],
)
def test_deadlines_over_a_weekend_in_berlin(start: str, minutes: float, expected: str) -> None:
    assert deadline(calendar("Europe/Berlin", WORKDAYS), start, minutes) == expected


def test_a_window_opens_inclusively_and_closes_exclusively() -> None:
    made = calendar("Europe/Berlin", WORKDAYS)
    opening, closing = ms("2026-03-06T08:00:00Z"), ms("2026-03-06T16:00:00Z")
    assert [made.is_open(at) for at in (opening - 1, opening, closing - 1, closing)] == [
        False,
        True,
        True,
        False,
    ]


def test_overlapping_and_touching_windows_count_once() -> None:
    made = calendar(
        "UTC",
        (
            (1, "09:00", "12:00", True),
            (1, "10:00", "11:00", True),
            (1, "11:00", "13:00", True),
            (1, "13:00", "14:00", True),
            (1, "09:00", "12:00", True),
            (0, "20:00", "10:00", True),
        ),
    )
    assert open_minutes(made, "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z") == 14 * 60
    assert open_minutes(made, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z") == 4 * 60


def test_nothing_lies_between_reversed_instants() -> None:
    for made in (calendar("UTC", ALL_WEEK), compile_calendar(ALWAYS)):
        assert made.open_between(5, 5) == 0
        assert made.open_between(5, 4) == 0
        assert list(made.segments(5, 5)) == []
        assert list(made.segments(5, 4)) == []


@pytest.mark.parametrize("made", [calendar("UTC", ALL_WEEK), compile_calendar(ALWAYS)])
def test_spans_must_ascend_from_zero(made: Calendar) -> None:
    with pytest.raises(ValueError, match="ascend"):
        made.advance(0, -1)
    with pytest.raises(ValueError, match="ascend"):
        made.advance_many(0, [5, 4])
    assert made.advance_many(0, []) == []
    assert made.advance_many(7, [0, 0, 5, 5]) == [7, 7, 12, 12]


def test_24x7_is_arithmetic() -> None:
    made = compile_calendar(ALWAYS)
    assert made.open_between(-5, 10) == 15
    assert made.advance(10, 5) == 15
    assert made.is_open(10**15)
    assert list(made.segments(3, 9)) == [Segment(3, 9, True, "")]


# --- windows past midnight and holidays (B3) ------------------------------------------------------------

NIGHTS: tuple[Entry, ...] = tuple((day, "22:00", "06:00", True) for day in range(7))


@pytest.mark.parametrize(
    ("holidays", "expected"),
    [
        # 2026-03-03, 04 and 05: minutes open on each
        ([], [480, 480, 480]),
        (one_off("2026-03-04"), [480, 0, 120]),
        (one_off("2026-03-03"), [0, 120, 480]),
        (one_off("2026-03-03", "2026-03-04"), [0, 0, 120]),
        (one_off("2026-03-03", "2026-03-05"), [0, 120, 0]),
        (recurring("2020-03-04"), [480, 0, 120]),
        (recurring("2020-03-04") + one_off("2026-03-04"), [480, 0, 120]),
        (recurring("2020-03-03") + one_off("2026-03-04"), [0, 0, 120]),
        (recurring("2020-03-04") + one_off("2026-03-03"), [0, 0, 120]),
        (recurring("2020-03-03") + one_off("2026-03-05"), [0, 120, 0]),
    ],
)
def test_a_night_is_closed_if_it_starts_on_a_holiday_or_lies_in_one(
    holidays: list[tuple[str, bool, str]], expected: list[int]
) -> None:
    made = calendar("UTC", NIGHTS, *holidays)
    midnights = [f"2026-03-0{day}T00:00:00Z" for day in (3, 4, 5, 6)]
    assert [open_minutes(made, one, other) for one, other in pairwise(midnights)] == expected


@pytest.mark.parametrize(
    ("holidays", "expected"),
    [
        # the open minutes of 2023-12-31, 2024-01-01, 2024-02-28, 2024-02-29, 2024-03-01, 2025-03-01
        (recurring("2020-12-31"), [0, 120, 480, 480, 480, 480]),
        (recurring("2020-01-01"), [480, 0, 480, 480, 480, 480]),
        (recurring("2020-12-31", "2020-01-01"), [0, 0, 480, 480, 480, 480]),
        (recurring("2020-02-28"), [480, 480, 0, 120, 480, 120]),
        (recurring("2020-02-29"), [480, 480, 480, 0, 120, 480]),
        (recurring("2020-03-01"), [480, 480, 480, 480, 0, 0]),
    ],
)
def test_recurring_holidays_at_the_seams_of_a_year(
    holidays: list[tuple[str, bool, str]], expected: list[int]
) -> None:
    made = calendar("UTC", NIGHTS, *holidays)
    days = ["2023-12-31", "2024-01-01", "2024-02-28", "2024-02-29", "2024-03-01", "2025-03-01"]
    starts = [ms(f"{day}T00:00:00Z") for day in days]
    assert [made.open_between(start, start + DAY_MS) // MINUTE_MS for start in starts] == expected


def test_a_recurring_leap_day_closes_leap_days_only() -> None:
    made = calendar("UTC", ALL_WEEK, *recurring("2024-02-29"))
    for year, closed in ((1900, 0), (2000, 1), (2023, 0), (2024, 1), (2100, 0), (2400, 1)):
        start, end = ms(f"{year}-02-01T00:00:00Z"), ms(f"{year}-03-31T00:00:00Z")
        assert end - start - made.open_between(start, end) == closed * DAY_MS


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


# --- closures of any length, and the end of time (B6) ---------------------------------------------------


def test_four_hundred_holidays_in_a_row_are_stepped_over() -> None:
    days = [str(date(2026, 3, 3) + timedelta(n)) for n in range(400)]
    made = calendar("Europe/Berlin", WORKDAYS, *one_off(*days))
    assert deadline(made, "2026-03-02T15:00:00Z", 61) == "2027-04-07T07:01:00Z"
    assert open_minutes(made, "2026-03-02T15:00:00Z", "2027-04-07T07:01:00Z") == 61


def test_open_on_leap_days_only() -> None:
    holidays = recurring(*(text for text in EVERY_DATE if not text.endswith("02-29")))
    made = calendar("UTC", ALL_WEEK, *holidays)
    assert deadline(made, "2026-01-01T00:00:00Z", 1) == "2028-02-29T00:01:00Z"
    assert deadline(made, "2096-03-01T00:00:00Z", 1) == "2104-02-29T00:01:00Z"
    assert made.open_between(ms("2000-01-01T00:00:00Z"), ms("2400-01-01T00:00:00Z")) == 97 * DAY_MS
    mondays = calendar("UTC", ((1, "09:00", "10:00", True),), *holidays)
    assert deadline(mondays, "2026-01-01T00:00:00Z", 60) == "2044-02-29T10:00:00Z"


def test_a_thousand_years_of_holidays_are_stepped_over() -> None:
    thursdays = ((4, "09:00", "10:00", True),)
    days = [str(date(2026, 1, 1) + timedelta(7 * n)) for n in range(52_178)]
    made = calendar("America/New_York", thursdays, *one_off(*days))
    assert days[-1] == "3025-12-29"
    assert deadline(made, "2026-01-01T00:00:00Z", 60) == "3026-01-05T15:00:00Z"


def test_a_deadline_may_be_the_last_instant_of_9999_but_not_later() -> None:
    for made in (calendar("UTC", ALL_WEEK), compile_calendar(ALWAYS)):
        start = MAX_INSTANT_MS - HOUR_MS
        assert made.advance(start, HOUR_MS) == MAX_INSTANT_MS
        assert made.advance(0, MAX_INSTANT_MS) == MAX_INSTANT_MS
        for span_ms in (HOUR_MS + 1, 2**63, 10**30):
            with pytest.raises(DeadlineOutOfRange):
                made.advance(start, span_ms)
            with pytest.raises(DeadlineOutOfRange):
                made.advance_many(start, [1, 2, span_ms])
        with pytest.raises(DeadlineOutOfRange):
            made.advance(MAX_INSTANT_MS + 1, 0)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_opening_hours_run_out_with_year_9999(timezone: str) -> None:
    made = calendar(timezone, WORKDAYS)
    start = ms("9999-12-30T00:00:00Z")
    left = made.open_between(start, MAX_INSTANT_MS)
    assert 0 < left <= 17 * HOUR_MS
    assert made.advance(start, left) <= MAX_INSTANT_MS
    with pytest.raises(DeadlineOutOfRange):
        made.advance(start, left + 2)
    long_ago = ms("2026-01-01T00:00:00Z")
    with pytest.raises(DeadlineOutOfRange):
        made.advance(long_ago, made.open_between(long_ago, MAX_INSTANT_MS) + 2)


def test_a_schedule_that_opens_past_9999_only_gives_no_deadline() -> None:
    holidays = recurring(*(text for text in EVERY_DATE if not text.endswith("02-29")))
    left = [f"{year}-02-29" for year in range(2004, 10_000, 4) if year % 100 or not year % 400]
    made = calendar("Europe/Berlin", ALL_WEEK, *holidays, *one_off(*left))
    assert made.open_between(ms("2001-01-01T00:00:00Z"), MAX_INSTANT_MS) == 0
    with pytest.raises(DeadlineOutOfRange):
        made.advance(ms("2026-01-01T00:00:00Z"), 1)


def test_instants_outside_the_calendar_of_datetime() -> None:
    made = calendar("Etc/GMT-9", ALL_WEEK, *one_off("0001-01-01", "9999-12-31"))
    whole = ms("0001-01-01T00:00:00Z"), MAX_INSTANT_MS + 1
    # Nine hours east, year 1 starts nine hours into its first date, and the end lies in year 10000.
    assert made.open_between(*whole) == whole[1] - whole[0] - 15 * HOUR_MS - DAY_MS
    assert made.open_between(-(10**17), 10**17) == 2 * 10**17 - 2 * DAY_MS
    assert made.open_between(-(2**63), 2**63) == 2**64 - 2 * DAY_MS
    assert made.is_open(10**17)
    assert not made.is_open(whole[1] - 10 * HOUR_MS)
    assert len(list(made.segments(whole[1] - 7 * DAY_MS, whole[1] + 7 * DAY_MS))) == 3


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule("UTC", False, (), ()),
        Schedule("nowhere", False, (Window(0, 0, 1),), ()),
        Schedule(
            "UTC",
            False,
            (Window(0, 0, 1),),
            tuple(Holiday(2024, int(text[5:7]), int(text[8:]), True) for text in EVERY_DATE),
        ),
    ],
)
def test_a_schedule_that_nobody_checked_is_refused(schedule: Schedule) -> None:
    with pytest.raises(ValueError, match=r"never open|not a time zone"):
        compile_calendar(schedule)


# --- hostile sizes --------------------------------------------------------------------------------------


def test_ten_thousand_holidays_and_windows_are_exact() -> None:
    entries = tuple(
        (day, f"{minute // 60:02}:{minute % 60:02}", f"{minute // 60:02}:{minute % 60:02}:30", True)
        for day in range(7)
        for minute in range(1440)
    )
    days = [str(date(2026, 1, 1) + timedelta(97 * n)) for n in range(10_000)]
    made = calendar("UTC", entries, *one_off(*days))
    start, end = ms("2026-01-01T00:00:00Z"), ms("4999-01-01T00:00:00Z")
    open_ms = made.open_between(start, end)
    assert open_ms == ((end - start) // DAY_MS - 10_000) * (DAY_MS // 2)
    assert made.advance(start, open_ms) == end - 30_000


# --- cost (B7) ------------------------------------------------------------------------------------------


def calls(work: Callable[[], object]) -> int:
    """How many functions, bisections included, a piece of work calls."""
    counted = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


def busy_calendar(timezone: str) -> Calendar:
    holidays = [*recurring(*EVERY_DATE[::20]), *one_off(*(f"20{n}-07-0{n % 9 + 1}" for n in range(26, 60)))]
    return calendar(timezone, (*WORKDAYS, *NIGHTS), *holidays)


@pytest.mark.parametrize("years", [10, 1000, 7000])
def test_cost_does_not_grow_with_the_span(years: int) -> None:
    made = busy_calendar("Europe/Berlin")
    start = ms("2026-03-02T10:00:00Z")
    made.advance(start, years * 365 * DAY_MS // 4)
    day_end, far_end = start + DAY_MS, start + years * 365 * DAY_MS
    made.open_between(start, far_end)
    one_day, far = made.open_between(start, day_end), made.open_between(start, far_end)
    # Some more where the answer follows from the cycle of years.
    more = 3 if years == 10 else 60
    assert calls(lambda: made.open_between(start, far_end)) <= more + calls(
        lambda: made.open_between(start, day_end)
    )
    assert calls(lambda: made.advance(start, far)) <= calls(lambda: made.advance(start, one_day)) + 2 * more
    assert calls(lambda: made.advance(start, far)) < 150


def test_cost_of_a_first_answer_does_not_grow_without_clock_changes() -> None:
    start = ms("2026-03-02T10:00:00Z")
    day = calls(lambda: busy_calendar("Asia/Tokyo").advance(start, 8 * HOUR_MS))
    years = calls(lambda: busy_calendar("Asia/Tokyo").advance(start, 20_000 * HOUR_MS))
    # Kinds of year are made when they are first met; this one meets two of them instead of one.
    assert years < day + 150


SPARSE = ((1, "02:30", "02:31", True),)


@pytest.mark.parametrize("years", [200, 2_000, 7_900])
def test_cost_of_a_first_answer_does_not_grow_with_the_span(years: int) -> None:
    start = ms("2026-03-02T10:00:00Z")
    minutes = years * 52 * MINUTE_MS
    few = calls(lambda: calendar("Europe/Berlin", SPARSE).advance(start, 60 * 52 * MINUTE_MS))
    many = calls(lambda: calendar("Europe/Berlin", SPARSE).advance(start, minutes))
    assert many <= few + 50
    span = years * 365 * DAY_MS
    assert calls(lambda: calendar("Europe/Berlin", SPARSE).open_between(start, start + span)) <= few


def test_fifty_thresholds_centuries_ahead_are_cheap() -> None:
    start = ms("2026-03-02T10:00:00Z")
    made = calendar("America/New_York", (*SPARSE, (0, "02:30", "02:31", True)))
    spans = [percent * 5_000 * MINUTE_MS for percent in range(1, 51)]
    made.advance_many(start, spans)
    assert calls(lambda: made.advance_many(start, spans)) < 50 * 100


def test_a_first_answer_meets_each_clock_change_once() -> None:
    start = ms("2026-03-02T10:00:00Z")
    day = calls(lambda: busy_calendar("Europe/Berlin").open_between(start, start + DAY_MS))
    years = calls(lambda: busy_calendar("Europe/Berlin").open_between(start, start + 3650 * DAY_MS))
    assert years < day + 14 * 80 + 20 * 80


def test_many_spans_cost_clearly_less_than_each_on_its_own() -> None:
    made = busy_calendar("Europe/Berlin")
    start = ms("2026-03-02T10:00:00Z")
    spans = [HOUR_MS * percent for percent in (50, 75, 90, 100, 110, 150, 200)]
    made.advance_many(start, spans)
    together = calls(lambda: made.advance_many(start, spans))
    apart = calls(lambda: [made.advance(start, span_ms) for span_ms in spans])
    assert together < 0.7 * apart


# --- segments -------------------------------------------------------------------------------------------


def told(made: Calendar, start: str, end: str) -> list[tuple[str, str]]:
    """Each segment's start and what it is."""
    return [
        (format_instant(part.from_ms), part.cause or "open") for part in made.segments(ms(start), ms(end))
    ]


def test_segments_say_why_it_is_closed() -> None:
    made = calendar(
        "Europe/Berlin", WORKDAYS, ("2026-12-25", True, "Christmas Day"), ("2026-12-28", False, "")
    )
    assert told(made, "2026-12-24T10:00:00Z", "2026-12-29T09:00:00Z") == [
        ("2026-12-24T10:00:00Z", "open"),
        ("2026-12-24T16:00:00Z", "outside business hours"),
        ("2026-12-24T23:00:00Z", "holiday: Christmas Day"),
        ("2026-12-25T23:00:00Z", "weekend"),
        ("2026-12-27T23:00:00Z", "holiday"),
        ("2026-12-28T23:00:00Z", "outside business hours"),
        ("2026-12-29T08:00:00Z", "open"),
    ]


def test_a_weekend_is_one_only_where_nothing_starts_on_it() -> None:
    made = calendar("UTC", ((5, "22:00", "02:00", True), (0, "10:00", "11:00", True)))
    assert told(made, "2026-03-06T00:00:00Z", "2026-03-09T12:00:00Z") == [
        ("2026-03-06T00:00:00Z", "outside business hours"),
        ("2026-03-06T22:00:00Z", "open"),
        ("2026-03-07T02:00:00Z", "weekend"),
        ("2026-03-08T00:00:00Z", "outside business hours"),
        ("2026-03-08T10:00:00Z", "open"),
        ("2026-03-08T11:00:00Z", "outside business hours"),
    ]


def test_a_holiday_is_also_the_cause_of_the_night_it_takes_away() -> None:
    made = calendar("UTC", NIGHTS, ("2026-03-04", False, "Founding Day"))
    assert told(made, "2026-03-03T12:00:00Z", "2026-03-06T00:00:00Z") == [
        ("2026-03-03T12:00:00Z", "outside business hours"),
        ("2026-03-03T22:00:00Z", "open"),
        ("2026-03-04T00:00:00Z", "holiday: Founding Day"),
        ("2026-03-05T06:00:00Z", "outside business hours"),
        ("2026-03-05T22:00:00Z", "open"),
    ]


def test_a_named_holiday_comes_before_one_without_and_a_dated_one_before_a_yearly_one() -> None:
    names = {
        "holiday: Here": [("2026-03-04", False, ""), ("2026-03-04", False, "Here")],
        "holiday: First": [("2026-03-04", False, "First"), ("2026-03-04", False, "Second")],
        "holiday: Yearly": [("2026-03-04", False, ""), ("2020-03-04", True, "Yearly")],
        "holiday: Dated": [("2020-03-04", True, "Yearly"), ("2026-03-04", False, "Dated")],
    }
    for cause, holidays in names.items():
        made = calendar("UTC", ALL_WEEK, *holidays)
        assert told(made, "2026-03-04T00:00:00Z", "2026-03-04T09:00:00Z") == [("2026-03-04T00:00:00Z", cause)]


def test_neighbouring_stretches_are_one_segment() -> None:
    made = calendar("Europe/Berlin", ALL_WEEK, *one_off("2026-04-01", "2026-04-02"))
    assert told(made, "2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z") == [
        ("2026-03-01T00:00:00Z", "open"),  # midnights and the change of clocks do not show
        ("2026-03-31T22:00:00Z", "holiday"),
        ("2026-04-02T22:00:00Z", "open"),
    ]


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
