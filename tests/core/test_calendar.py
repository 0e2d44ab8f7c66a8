"""Compiled calendars by worked examples: the shared vectors, and the corners of B1–B6 one by one."""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import pairwise

import pytest

from slad.core.calendar import Calendar, Segment, compile_calendar
from slad.core.errors import DeadlineOutOfRange
from slad.core.instants import DAY_MS, HOUR_MS, MAX_INSTANT_MS, MINUTE_MS, format_instant
from slad.core.near_weeks import NEAR_AFTER
from slad.core.schedule import ALWAYS, Holiday, Schedule, Window
from tests.core.calendars import (
    ALL_WEEK,
    EVERY_DATE,
    NIGHTS,
    WORKDAYS,
    calendar,
    deadline,
    one_off,
    open_minutes,
    recurring,
)
from tests.core.naive_hours import ms
from tests.core.tickets import schedule_of
from tests.paths import VECTORS

CASES = [
    case
    for name in ("business_time", "date_overrides")
    for case in json.loads((VECTORS / f"{name}.json").read_text())["cases"]
]

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
