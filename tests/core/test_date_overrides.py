"""Date overrides by worked examples: the corners of B8 one by one (the vectors are in test_calendar.py)."""

from __future__ import annotations

from typing import Any

import pytest

from slad.core.calendar import Calendar, compile_calendar
from slad.core.errors import InvalidField
from slad.core.instants import DAY_MS, format_instant
from slad.core.schedule import MAX_DATE_OVERRIDES, Schedule, build_schedule
from tests.core.naive_hours import Entry, NaiveHours, Override, ms

WORKDAYS: tuple[Entry, ...] = tuple((day, "09:00", "17:00", True) for day in range(1, 6))


def override(
    first: str, last: str = "", *hours: tuple[str, str], recurring: bool = False, name: str = ""
) -> Override:
    return first, last, recurring, name, hours


def calendar(
    *overrides: Override,
    entries: tuple[Entry, ...] = WORKDAYS,
    holidays: tuple[tuple[str, bool, str], ...] = (),
) -> Calendar:
    return compile_calendar(NaiveHours("UTC", entries, holidays, overrides).schedule())


def open_hours(made: Calendar, first: str, last: str) -> list[str]:
    """The open stretches of dates."""
    parts = made.segments(ms(f"{first}T00:00:00Z"), ms(f"{last}T00:00:00Z") + DAY_MS)
    return [
        f"{format_instant(part.from_ms)[:16]}/{format_instant(part.to_ms)[11:16]}"
        for part in parts
        if part.is_open
    ]


@pytest.mark.parametrize(
    ("made", "first", "last", "expected"),
    [
        pytest.param(
            calendar(override("2026-12-24", "", ("09:00", "13:00"))),
            "2026-12-23",
            "2026-12-25",
            ["2026-12-23T09:00/17:00", "2026-12-24T09:00/13:00", "2026-12-25T09:00/17:00"],
            id="a half day",
        ),
        pytest.param(
            calendar(override("2026-12-06", "", ("10:00", "14:00"))),
            "2026-12-05",
            "2026-12-06",
            ["2026-12-06T10:00/14:00"],
            id="an extra Sunday",
        ),
        pytest.param(
            calendar(override("2026-12-24", "2026-12-30")),
            "2026-12-23",
            "2026-12-31",
            ["2026-12-23T09:00/17:00", "2026-12-31T09:00/17:00"],
            id="a closure",
        ),
        pytest.param(
            calendar(override("2020-12-24", "2021-01-02", recurring=True)),
            "2030-12-23",
            "2031-01-03",
            ["2030-12-23T09:00/17:00", "2031-01-03T09:00/17:00"],
            id="a closure over the turn of every year",
        ),
        pytest.param(
            calendar(override("2026-05-01", "", ("09:00", "12:00")), holidays=(("2026-05-01", True, ""),)),
            "2026-05-01",
            "2026-05-01",
            ["2026-05-01T09:00/12:00"],
            id="a holiday is lifted",
        ),
        pytest.param(
            calendar(
                override("2026-07-01", "2026-07-31", ("08:00", "14:00")),
                override("2026-07-08", "", ("08:00", "10:00")),
            ),
            "2026-07-07",
            "2026-07-09",
            ["2026-07-07T08:00/14:00", "2026-07-08T08:00/10:00", "2026-07-09T08:00/14:00"],
            id="the last in the list counts",
        ),
        pytest.param(
            calendar(
                override("2026-07-08", "", ("08:00", "10:00")),
                override("2020-07-01", "2020-07-31", ("08:00", "14:00"), recurring=True),
            ),
            "2026-07-08",
            "2026-07-08",
            ["2026-07-08T08:00/14:00"],
            id="also if it recurs",
        ),
        pytest.param(
            calendar(override("2026-07-08", "2026-07-09", ("22:00", "02:00"))),
            "2026-07-07",
            "2026-07-11",
            [
                "2026-07-07T09:00/17:00",
                "2026-07-08T22:00/02:00",
                "2026-07-09T22:00/02:00",
                "2026-07-10T09:00/17:00",
            ],
            id="nights belong to the dates on which they start",
        ),
        pytest.param(
            calendar(override("2026-07-08", "", ("12:00", "13:00")), entries=((2, "22:00", "06:00", True),)),
            "2026-07-07",
            "2026-07-08",
            ["2026-07-07T22:00/06:00", "2026-07-08T12:00/13:00"],
            id="what runs over from the day before stays",
        ),
        pytest.param(
            calendar(override("2026-07-08"), entries=((2, "22:00", "06:00", True),)),
            "2026-07-07",
            "2026-07-08",
            ["2026-07-07T22:00/00:00"],
            id="unless the date is closed",
        ),
        pytest.param(
            calendar(override("2000-02-29", "", ("09:00", "10:00"), recurring=True), entries=()),
            "2024-01-01",
            "2028-12-31",
            ["2024-02-29T09:00/10:00", "2028-02-29T09:00/10:00"],
            id="a leap day, and no week",
        ),
    ],
)
def test_open_hours(made: Calendar, first: str, last: str, expected: list[str]) -> None:
    assert open_hours(made, first, last) == expected


def test_segments_name_the_override() -> None:
    made = calendar(
        override("2026-12-24", "", ("09:00", "13:00"), name="Christmas Eve"),
        override("2026-12-28", "2026-12-30", name="Winter break"),
        override("2026-12-31", "2027-01-08", ("10:00", "15:00"), name="Short week"),
    )
    told = [
        (format_instant(part.from_ms)[:16], part.cause)
        for part in made.segments(ms("2026-12-24T09:00:00Z"), ms("2027-01-01T10:00:00Z"))
    ]
    assert told == [
        ("2026-12-24T09:00", ""),
        ("2026-12-24T13:00", "half day: Christmas Eve"),
        ("2026-12-24T17:00", "outside business hours"),
        ("2026-12-25T09:00", ""),
        ("2026-12-25T17:00", "outside business hours"),
        ("2026-12-26T00:00", "weekend"),
        ("2026-12-28T00:00", "closed: Winter break"),
        ("2026-12-31T00:00", "outside business hours"),
        ("2026-12-31T09:00", "special hours: Short week"),
        ("2026-12-31T10:00", ""),
        ("2026-12-31T15:00", "special hours: Short week"),
        ("2026-12-31T17:00", "outside business hours"),
        ("2027-01-01T09:00", "special hours: Short week"),
    ]


# --- what is refused ------------------------------------------------------------------------------------


def build(*overrides: Override, entries: tuple[Entry, ...] = WORKDAYS) -> Schedule:
    return build_schedule(
        timezone="UTC", is_24x7=False, entries=entries, holidays=(), date_overrides=overrides
    )


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (override("2026-02-30"), "from_date", "MALFORMED_DATE"),
        (override(""), "from_date", "MALFORMED_DATE"),
        (override("24.12.2026"), "from_date", "MALFORMED_DATE"),
        (override("2026-12-24", "soon"), "to_date", "MALFORMED_DATE"),
        (override("2026-12-24", "2026-12-23"), "to_date", "BEFORE_FROM_DATE"),
        (override("2026-01-01", "2027-01-01"), "to_date", "TOO_MANY_DATES"),
        (override("2026-12-24", "", ("09:00", "09:00")), "entries[0].end_time", "EMPTY_WINDOW"),
        (override("2026-12-24", "", ("9:00", "13:00")), "entries[0].start_time", "MALFORMED_TIME"),
        (override("2026-12-24", "", ("09:00", "25:00")), "entries[0].end_time", "MALFORMED_TIME"),
        (override("2026-12-24", "", ("24:00", "02:00")), "entries[0].start_time", "MALFORMED_TIME"),
    ],
)
def test_what_cannot_be_meant_is_refused(bad: Override, field: str, reason: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        build(override("2026-12-24"), bad)
    assert (refusal.value.field, refusal.value.reason) == (f"date_overrides[1].{field}", reason)


def test_a_year_of_dates_is_the_most_and_a_thousand_overrides() -> None:
    assert build(override("2026-01-01", "2026-12-31", ("09:00", "17:00")))
    many = [override(f"{2001 + n}-01-01", "", ("09:00", "17:00")) for n in range(MAX_DATE_OVERRIDES)]
    assert len(build(*many).date_overrides) == MAX_DATE_OVERRIDES
    with pytest.raises(InvalidField) as refusal:
        build(*many, override("2026-12-24"))
    assert (refusal.value.field, refusal.value.reason) == ("date_overrides", "TOO_MANY")


@pytest.mark.parametrize(
    ("overrides", "entries", "field"),
    [
        ((), (), "entries"),
        ((override("2026-12-24", "", ("09:00", "13:00")),), (), "entries"),
        ((override("2026-01-01", "2026-12-31", recurring=True),), WORKDAYS, "date_overrides"),
    ],
)
def test_what_never_opens_is_refused(
    overrides: tuple[Override, ...], entries: tuple[Entry, ...], field: str
) -> None:
    with pytest.raises(InvalidField) as refusal:
        build(*overrides, entries=entries)
    assert (refusal.value.field, refusal.value.reason) == (field, "SCHEDULE_NEVER_OPENS")


# --- cost -----------------------------------------------------------------------------------------------


def test_a_schedule_without_overrides_is_stored_as_before_there_were_any() -> None:
    """Tickets of before and after share it, by its digest."""
    from slad.storage.codec import decode_schedule, encode_schedule  # noqa: PLC0415

    plain = build()
    digest, body = encode_schedule(plain)
    assert digest.hex() == "eca67e68d6fc7eee683a94c21b5069de"
    assert decode_schedule(body) == plain
    changed = build(override("2026-12-24", "", ("09:00", "13:00"), name="Eve"))
    assert decode_schedule(encode_schedule(changed)[1]) == changed


def worst() -> Any:
    """A thousand overrides of a year each, half of them recurring and in the way of the others."""
    found = []
    for n in range(MAX_DATE_OVERRIDES):
        hours = (f"{n % 24:02}:00", f"{n % 24:02}:30")
        if n % 2:
            day = 1 + n % 28
            found.append(override(f"2000-{1 + n % 12:02}-{day:02}", "", hours, recurring=True))
        else:
            found.append(override(f"{2001 + n}-01-01", f"{2001 + n}-12-31", hours))
    return found


def test_the_largest_schedule_is_compiled() -> None:
    made = compile_calendar(build(*worst()))
    start = ms("2026-01-01T00:00:00Z")
    year = made.open_between(start, start + 365 * DAY_MS)
    assert made.advance(start, year) <= start + 365 * DAY_MS
    assert made.open_between(start, made.advance(start, year)) == year
