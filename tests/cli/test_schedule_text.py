"""Schedules as people write them, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slad_client.v1 import types_pb2 as pb

from slad.cli.schedule_text import add_holiday, add_holidays, parse_hours, write_holidays, write_hours


def closed(text: str, hours: str = "") -> pb.BusinessHoursSchedule:
    """A schedule with these holidays."""
    schedule = pb.BusinessHoursSchedule(entries=parse_hours(hours).entries if hours else [])
    add_holidays(schedule, text)
    return schedule


def override(
    first: str, last: str = "", *windows: str, name: str = "", yearly: bool = False
) -> pb.DateOverride:
    made = pb.DateOverride(from_date=first, to_date=last, name=name, is_recurring=yearly)
    for window in windows:
        start, _, end = window.partition("-")
        made.entries.add(start_time=start, end_time=end)
    return made


def windows(text: str) -> set[tuple[int, str, str]]:
    return {(entry.day_of_week, entry.start_time, entry.end_time) for entry in parse_hours(text).entries}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon-Fri 09:00-17:00", {(day, "09:00", "17:00") for day in range(1, 6)}),
        ("weekdays 9:00-17:00", {(day, "09:00", "17:00") for day in range(1, 6)}),
        ("Sat,sunday 10:00–14:00", {(6, "10:00", "14:00"), (0, "10:00", "14:00")}),
        ("fri-mon 22:00-06:00", {(day, "22:00", "06:00") for day in (5, 6, 0, 1)}),
        ("Mon 08:00-12:00, 13:00-17:00; Tue 00:00-24:00",
         {(1, "08:00", "12:00"), (1, "13:00", "17:00"), (2, "00:00", "24:00")}),
        ("daily 09:00:30-17:00", {(day, "09:00:30", "17:00") for day in range(7)}),
    ],
)  # fmt: skip
def test_hours(text: str, expected: set[tuple[int, str, str]]) -> None:
    assert windows(text) == expected
    assert windows(write_hours(*parse_hours(text))) == expected


@pytest.mark.parametrize(
    "text", ["", ";", "Mon", "Mon 9-17", "Mon-Foo 09:00-17:00", "09:00-17:00", "Mo-Fr 09:00-17:00"]
)
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse_hours(text)


entries = st.builds(
    pb.BusinessHoursEntry,
    day_of_week=st.integers(0, 6),
    start_time=st.sampled_from(["00:00", "08:30", "22:00"]),
    end_time=st.sampled_from(["06:00", "17:00:15", "24:00"]),
    is_enabled=st.just(True),
)


@given(st.lists(entries, min_size=1, max_size=12))
def test_hours_that_are_written_read_as_the_same(given_entries: list[pb.BusinessHoursEntry]) -> None:
    expected = {(e.day_of_week, e.start_time, e.end_time) for e in given_entries}
    assert windows(write_hours(given_entries)) == expected


printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)


@given(st.lists(st.tuples(st.dates().map(str), st.booleans(), printable), max_size=5))
def test_holidays_that_are_written_read_as_the_same(given_holidays: list[tuple[str, bool, str]]) -> None:
    holidays = [
        pb.Holiday(holiday_date=date, is_recurring=recurring, holiday_name=name)
        for date, recurring, name in given_holidays
    ]
    assert list(closed(write_holidays(holidays)).holidays) == holidays


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-04-03 Good Friday", ("2026-04-03", False, "Good Friday")),
        ("2026-04-03 = Good Friday", ("2026-04-03", False, "Good Friday")),
        ("2026-04-03=2. day", ("2026-04-03", False, "2. day")),
        ("2026-04-03", ("2026-04-03", False, "")),
        ("2026-04-03 closed", ("2026-04-03", False, "")),
        ("yearly 02-29", ("2000-02-29", True, "")),
        ("yearly 2026-12-25 Christmas Day", ("2026-12-25", True, "Christmas Day")),
    ],
)
def test_holidays(text: str, expected: tuple[str, bool, str]) -> None:
    (holiday,) = closed(text).holidays
    assert (holiday.holiday_date, holiday.is_recurring, holiday.holiday_name) == expected


CLOSURES = [
    ("2026-12-24..2026-12-31", override("2026-12-24", "2026-12-31")),
    (
        "2026-12-24 to 2026-12-31 = Works holidays",
        override("2026-12-24", "2026-12-31", name="Works holidays"),
    ),
    ("yearly 12-24..01-01", override("2000-12-24", "2001-01-01", yearly=True)),
    # A Thursday: what is closed is cut out of its hours.
    ("2026-12-24 13:00-24:00", override("2026-12-24", "", "09:00:00-13:00:00")),
    (
        "2026-12-24 12:00-13:00 = Lunch",
        override("2026-12-24", "", "09:00:00-12:00:00", "13:00:00-17:00:00", name="Lunch"),
    ),
    ("2026-12-24 00:00-10:00,15:00-24:00", override("2026-12-24", "", "10:00:00-15:00:00")),
    ("2026-12-24 08:00-18:00", override("2026-12-24")),
    ("2026-12-24 18:00-20:00", override("2026-12-24", "", "09:00:00-17:00:00")),
    ("2026-12-26 13:00-24:00", override("2026-12-26")),  # a Saturday has no hours
]


@pytest.mark.parametrize(("text", "expected"), CLOSURES)
def test_closures_that_are_no_single_dates(text: str, expected: pb.DateOverride) -> None:
    schedule = closed(text, "Mon-Fri 09:00-17:00")
    assert not schedule.holidays
    assert list(schedule.date_overrides) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "12-25", "Christmas", "2026-4-3", "2026-12-24 half day", "2026-12-24 afternoon", "2026-12-24 from noon",  # noqa: E501
        "2026-12-24 Closed at noon", "2026-12-24 - 2026-12-31", "2026-12-24/2026-12-31", "2026-12-24 13:00",
        "2026-12-24 13-24", "2026-12-24 1pm-12pm", "2026-12-24 until 2026-12-31", "2026-12-24, 2026-12-25",
        "2026-12-24 Christmas 2", "2026-12-24 halber Tag", "yearly 12-24..2026-12-31.",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_the_forms_that_are(text: str) -> None:
    schedule = pb.BusinessHoursSchedule()
    forms = r"is not understood; write '2026-04-03 = Good Friday' or '2026-12-24\.\.2026-12-31'"
    with pytest.raises(ValueError, match=forms):
        add_holiday(schedule, text)
    assert schedule == pb.BusinessHoursSchedule()


@pytest.mark.parametrize(
    ("text", "hours", "told"),
    [
        ("2026-12-24 13:00-24:00", "daily 22:00-06:00", "hours past midnight cannot be cut"),
        ("2026-12-25 00:00-12:00", "Thu 22:00-06:00; Fri 09:00-17:00", "hours past midnight cannot be cut"),
        ("yearly 12-24 13:00-24:00", "daily 09:00-17:00", "on one date only; say what is open: --hours"),
        ("2026-12-24..2026-12-31 13:00-24:00", "daily 09:00-17:00", "on one date only"),
        ("2026-12-24 13:00-12:00", "daily 09:00-17:00", "12:00:00 is not after 13:00:00"),
        ("2026-12-32 13:00-14:00", "daily 09:00-17:00", "2026-12-32 is not a date"),
        # One of two rules would undo a half of the other.
        (
            "2026-12-24 13:00-24:00; 2026-12-24 09:00-10:00",
            "daily 09:00-17:00",
            "another rule closes 2026-12-24",
        ),
        ("2026-12-24; 2026-12-24 13:00-24:00", "daily 09:00-17:00", "another rule closes 2026-12-24"),
        ("2026-12-24 13:00-24:00; 2026-12-24", "daily 09:00-17:00", "another rule closes 2026-12-24"),
        (
            "2026-12-20..2026-12-31; 2026-12-24 13:00-24:00",
            "daily 09:00-17:00",
            "another rule closes 2026-12-24",
        ),
    ],
)
def test_closures_that_cannot_be_expressed_are_refused(text: str, hours: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        closed(text, hours)


def test_hours_of_dates() -> None:
    hours = parse_hours(
        "Mon-Fri 09:00-17:00; 2026-12-24 09:00-11:00, 12:00-13:00 = Christmas\\; Eve;"
        "2026-12-27..2026-12-31 closed; yearly 12-31 9:00-12:00; 2026-07-01 to 2026-08-31 08:00-14:00 Summer"
    )
    assert len(hours.entries) == 5
    assert hours.date_overrides == [
        override("2026-12-24", "", "09:00-11:00", "12:00-13:00", name="Christmas; Eve"),
        override("2026-12-27", "2026-12-31"),
        override("2000-12-31", "", "09:00-12:00", yearly=True),
        override("2026-07-01", "2026-08-31", "08:00-14:00", name="Summer"),
    ]
    assert parse_hours(write_hours(*hours)) == hours


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-12-24", "has no hours: add windows such as 09:00-13:00, or the word closed"),
        ("2026-12-24 = Christmas Eve", "has no hours"),
        ("2026-12-24 noon", "is not understood; write '2026-12-24 09:00-13:00' or"),
        ("2026-12-24 09:00-13:00 and more 5", "is not understood"),
    ],
)
def test_hours_of_dates_that_are_none(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_hours(text)


overrides = st.builds(
    override,
    st.dates().map(str),
    st.one_of(st.just(""), st.dates().map(str)),
    st.sampled_from(["09:00-13:00", "22:00-06:00", "00:00-24:00"]),
    name=printable,
    yearly=st.booleans(),
)


@given(st.lists(overrides, min_size=1, max_size=5))
def test_hours_of_dates_that_are_written_read_as_the_same(given_overrides: list[pb.DateOverride]) -> None:
    assert parse_hours(write_hours([], given_overrides)).date_overrides == given_overrides
