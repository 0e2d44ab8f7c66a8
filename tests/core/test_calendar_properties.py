"""Laws of business time, and agreement with counting it step by step.

Examples are drawn to where things go wrong: changes of clocks, midnights, holidays, ends of years.
"""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from slad.core.calendar import Calendar, compile_calendar
from slad.core.civil import date_of, day_number, days_in_month, weekday, year_of
from slad.core.errors import DeadlineOutOfRange, InvalidField
from slad.core.instants import DAY_MS, HOUR_MS, MAX_INSTANT_MS, MINUTE_MS, SECOND_MS
from slad.core.near_weeks import NEAR_AFTER
from slad.core.openhours import open_hours
from slad.core.openings import Openings
from slad.core.zone_names import NO_PLACES
from slad.core.zones import load_zone, zone_names
from tests.core.naive_hours import Entry, NaiveHours, Override, ms

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # changes at midnight
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Sao_Paulo",
    "Asia/Tehran",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # skipped 2011-12-30
    "Pacific/Kwajalein",  # skipped 1993-08-21
    "Europe/Dublin",  # daylight saving in winter, below standard
    "Africa/Casablanca",  # twice around Ramadan
    "Asia/Gaza",
    "America/Nuuk",
    "Antarctica/Troll",  # by two hours
    "Pacific/Chatham",
    "Asia/Kathmandu",
]
FIRST, LAST = ms("1975-01-01T00:00:00Z"), ms("2060-01-01T00:00:00Z")  # whole minutes of offset in all zones
YEAR_1 = ms("0001-01-02T00:00:00Z")

zones = st.sampled_from(ZONES)


@cache
def changes(zone: str) -> list[int]:
    return [at_ms for at_ms, _, _ in load_zone(zone).transitions(FIRST, LAST)] or [FIRST]


@st.composite
def moments(draw: st.DrawFn, zone: str) -> int:
    """A whole minute near something that makes a difference."""
    anchor = draw(
        st.one_of(
            st.sampled_from(changes(zone)),
            st.integers(1976, 2058).map(lambda year: ms(f"{year}-01-01T00:00:00Z")),
            st.integers(494, 514).map(lambda quarter: ms(f"{quarter * 4}-02-29T00:00:00Z")),
            st.just(ms("2011-12-30T10:00:00Z") if zone == "Pacific/Apia" else ms("1993-08-21T12:00:00Z")),
            st.integers(FIRST, LAST),
        )
    )
    near = st.one_of(st.integers(-240, 240), st.integers(-3000, 3000))
    return anchor // MINUTE_MS * MINUTE_MS + draw(near) * MINUTE_MS


def written(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Windows of a week; on edges of the hours at which clocks change, as often as not."""
    minutes = st.one_of(
        st.sampled_from([0, 1, 15, 30, 59, 60, 90, 105, 119, 120, 121, 150, 180, 181, 1380, 1410, 1439]),
        st.integers(0, 1439),
    )
    found: list[Entry] = []
    for number in range(draw(st.integers(1, 4))):
        start = draw(minutes)
        end = draw(st.one_of(minutes, st.just(1440)))
        end = 1440 if end == start else end
        days = draw(st.one_of(st.just(range(7)), st.sets(st.integers(0, 6), min_size=1)))
        enabled = number == 0 or draw(st.booleans())
        found += [(day, written(start), written(end), enabled) for day in days]
    return tuple(found)


HALF_HOURS = [f"{half // 2:02}:{half % 2 * 30:02}" for half in range(48)]
CAUSES = {
    "weekend",
    "outside business hours",
    *(
        cause + name
        for cause in ("holiday", "closed", "half day", "special hours")
        for name in ("", ": Fair")
    ),
}


@st.composite
def overrides_about(draw: st.DrawFn, there: date) -> tuple[Override, ...]:
    """Of both kinds, near a date or anywhere; closed ones, half days, nights, the turn of the year."""
    found: list[Override] = []
    for _ in range(draw(st.integers(0, 4))):
        first = there + timedelta(draw(st.integers(-6, 6) | st.integers(-400, 400)))
        last = first + timedelta(draw(st.integers(0, 3) | st.integers(0, 364)))
        hours = []
        for _ in range(draw(st.integers(0, 2))):
            start, end = draw(st.sampled_from(HALF_HOURS)), draw(st.sampled_from([*HALF_HOURS, "24:00"]))
            hours.append((start, "24:00" if start == end else end))
        until = "" if first == last and draw(st.booleans()) else last.isoformat()
        name = draw(st.sampled_from(["", "Fair"]))
        found.append((first.isoformat(), until, draw(st.booleans()), name, tuple(hours)))
    return tuple(found)


@st.composite
def hours_at(draw: st.DrawFn) -> tuple[NaiveHours, int]:
    """A schedule, and a moment that its holidays lie around."""
    zone = draw(zones)
    moment = draw(moments(zone))
    there = datetime.fromtimestamp(moment / 1000, UTC).date()
    near = st.integers(-4, 6).map(lambda days: there + timedelta(days))
    holidays = []
    for day in draw(st.lists(near, max_size=4)):
        is_recurring = draw(st.booleans())
        same_day = date(2024, day.month, day.day) if is_recurring else day
        holidays.append((same_day.isoformat(), is_recurring, draw(st.sampled_from(["", "Fair"]))))
    naive = NaiveHours(zone, draw(entries()), tuple(holidays), draw(overrides_about(there)))
    with suppress(InvalidField):  # it may never open
        naive.schedule()
        return naive, moment
    return reject()


calendars = hours_at().map(lambda drawn: compile_calendar(drawn[0].schedule()))
instants = st.one_of(
    st.integers(FIRST, LAST),
    st.integers(YEAR_1, MAX_INSTANT_MS),
    st.sampled_from([at for zone in ZONES for at in changes(zone)]).flatmap(
        lambda at: st.integers(at - 2 * DAY_MS, at + 2 * DAY_MS)
    ),
)
spans = st.one_of(
    st.integers(0, HOUR_MS),
    st.integers(0, 3000).map(lambda minutes: minutes * MINUTE_MS),
    st.integers(0, 20_000).map(lambda hours: hours * HOUR_MS),
    st.integers(0, 10**13),
)


# --- against counting -----------------------------------------------------------------------------------


@settings(max_examples=400)
@given(hours_at(), st.integers(0, 1500))
def test_open_time_agrees_with_counting_minutes(drawn: tuple[NaiveHours, int], minutes: int) -> None:
    naive, start = drawn
    end = start + minutes * MINUTE_MS
    made = compile_calendar(naive.schedule())
    assert made.open_between(start, end) == naive.count(start, end, MINUTE_MS)
    assert made.is_open(start) == naive.is_open(start)
    assert made.is_open(end - 1) == naive.is_open(end - 1)


@settings(max_examples=150)
@given(hours_at(), st.integers(1, 600))
def test_deadlines_agree_with_counting_minutes(drawn: tuple[NaiveHours, int], minutes: int) -> None:
    naive, start = drawn
    made = compile_calendar(naive.schedule())
    found = made.advance(start, minutes * MINUTE_MS)
    if found - start < 2 * DAY_MS:
        assert found == naive.advance(start, minutes * MINUTE_MS, MINUTE_MS)
    else:
        assert naive.count(start, start + 2 * DAY_MS, MINUTE_MS) <= minutes * MINUTE_MS


@settings(max_examples=60)
@given(hours_at(), st.integers(0, 59), st.integers(0, 59), st.integers(1, 4000))
def test_open_time_agrees_with_counting_seconds(
    drawn: tuple[NaiveHours, int], opens: int, closes: int, seconds: int
) -> None:
    naive, start = drawn
    timed = tuple(
        (day, f"{start}:{opens:02}", end if end == "24:00" else f"{end}:{closes:02}", enabled)
        for day, start, end, enabled in naive.entries
    )
    naive = NaiveHours(naive.timezone, timed, naive.holidays, naive.overrides)
    start += closes * SECOND_MS
    end = start + seconds * SECOND_MS
    made = compile_calendar(naive.schedule())
    assert made.open_between(start, end) == naive.count(start, end, SECOND_MS)


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_clocks_agrees_with_counting(zone: str) -> None:
    """Minute by minute over changes of the recent past and the near future."""
    dice = random.Random(zone)
    recent = [at for at in changes(zone) if ms("1990-01-01T00:00:00Z") < at < ms("2030-01-01T00:00:00Z")]
    for at_ms in dice.sample(recent, min(6, len(recent))):
        start, end = (at_ms // MINUTE_MS - 200) * MINUTE_MS, (at_ms // MINUTE_MS + 200) * MINUTE_MS
        opens, closes = dice.randrange(0, 240), dice.randrange(0, 1440)
        naive = NaiveHours(
            zone, tuple((day, written(opens), written(closes), True) for day in range(7) if opens != closes)
        )
        made = compile_calendar(naive.schedule())
        assert made.open_between(start, end) == naive.count(start, end, MINUTE_MS), (at_ms, naive)


def test_overrides_agree_with_counting_near_the_clock_changes_of_all_zones() -> None:
    """B8 in every zone of the database, minute by minute over its latest change."""
    for zone in sorted(zone_names() - NO_PLACES):
        dice = random.Random(zone)
        at_ms = changes(zone)[-1] // MINUTE_MS * MINUTE_MS
        there = datetime.fromtimestamp(at_ms / 1000, UTC).date()
        overrides: list[Override] = []
        for _ in range(3):
            first = there + timedelta(dice.randint(-2, 1))
            last = first + timedelta(dice.randint(0, 2))
            hours = tuple(
                (f"{dice.randrange(24):02}:{dice.choice((0, 15, 30)):02}", f"{dice.randrange(24):02}:45")
                for _ in range(dice.randint(0, 2))
            )
            overrides.append((first.isoformat(), last.isoformat(), dice.random() < 0.5, "", hours))
        naive = NaiveHours(
            zone, ((0, "22:00", "06:00", True), (3, "00:00", "24:00", True)), (), tuple(overrides)
        )
        made = compile_calendar(naive.schedule())
        for start in (at_ms - 150 * MINUTE_MS, at_ms - dice.randint(0, 40) * HOUR_MS):
            end = start + 240 * MINUTE_MS
            assert made.open_between(start, end) == naive.count(start, end, MINUTE_MS), (zone, naive)


@settings(max_examples=40)
@given(
    entries(),
    st.sets(st.sampled_from([date(2024, 1, 1) + timedelta(n) for n in range(366)]), max_size=20),
    st.sets(st.dates(date(1890, 1, 1), date(2110, 12, 31)), max_size=10),
    st.booleans(),
    st.dates(date(1896, 1, 1), date(2104, 1, 1)),
    st.integers(1, 2000),
)
def test_long_spans_agree_with_counting_dates(
    week: tuple[Entry, ...], yearly: set[date], once: set[date], is_dense: bool, first: date, days: int
) -> None:
    """Without a zone in the way, date by date: the kinds of year, leap days and centuries, the seams."""
    if is_dense:
        once = once | {first + timedelta(n * 3 % 400) for n in range(200)} | {first - timedelta(1)}
    holidays = [(day.isoformat(), True, "") for day in yearly]
    holidays += [(day.isoformat(), False, "") for day in once]
    closed = {(day.month, day.day) for day in yearly}

    def is_holiday(day: date) -> bool:
        return day in once or (day.month, day.day) in closed

    minutes_of: dict[tuple[int, bool], int] = {}

    def minutes_open(day: date) -> int:
        if is_holiday(day):
            return 0
        follows_one = is_holiday(day - timedelta(1))
        key = day.isoweekday(), follows_one
        if key not in minutes_of:
            before = (((day - timedelta(1)).isoformat(), False, ""),) if follows_one else ()
            alone, midnight = NaiveHours("UTC", week, before), datetime(day.year, day.month, day.day)
            minutes_of[key] = sum(alone.is_open_locally(midnight + timedelta(minutes=n)) for n in range(1440))
        return minutes_of[key]

    made = compile_calendar(NaiveHours("UTC", week, tuple(holidays)).schedule())
    start = ms(f"{first}T00:00:00Z")
    counted = sum(minutes_open(first + timedelta(n)) for n in range(days)) * MINUTE_MS
    assert made.open_between(start, start + days * DAY_MS) == counted
    if counted:
        at_ms = made.advance(start, counted)
        assert at_ms <= start + days * DAY_MS
        assert made.open_between(start, at_ms) == counted
        assert made.is_open(at_ms - 1)


# --- laws -----------------------------------------------------------------------------------------------


def advance_or_none(made: Calendar, start: int, open_ms: int) -> int | None:
    try:
        return made.advance(start, open_ms)
    except DeadlineOutOfRange:
        return None


@settings(max_examples=300)
@given(calendars, instants, spans)
def test_a_deadline_is_the_first_instant_with_that_much_elapsed(
    made: Calendar, start: int, open_ms: int
) -> None:
    at_ms = advance_or_none(made, start, open_ms)
    if at_ms is None:
        assert made.open_between(start, MAX_INSTANT_MS) < open_ms
        return
    assert made.open_between(start, at_ms) == open_ms
    if open_ms:
        assert made.open_between(start, at_ms - 1) == open_ms - 1
        assert made.is_open(at_ms - 1)
    else:
        assert at_ms == start


@settings(max_examples=300)
@given(calendars, instants, instants)
def test_elapsed_is_undone_by_the_deadline(made: Calendar, one: int, other: int) -> None:
    start, end = sorted((one, other))
    at_ms = made.advance(start, made.open_between(start, end))
    assert start <= at_ms <= end
    assert made.open_between(at_ms, end) == 0


@settings(max_examples=300)
@given(calendars, st.lists(instants, min_size=3, max_size=6))
def test_elapsed_adds_up_and_never_exceeds_time(made: Calendar, drawn: list[int]) -> None:
    drawn.sort()
    parts = [made.open_between(one, other) for one, other in pairwise(drawn)]
    assert sum(parts) == made.open_between(drawn[0], drawn[-1])
    assert all(0 <= part <= other - one for part, (one, other) in zip(parts, pairwise(drawn), strict=True))


@settings(max_examples=300)
@given(calendars, instants, st.lists(spans, max_size=8), st.integers(0, 10))
def test_many_deadlines_are_the_same_as_each_alone(
    made: Calendar, start: int, drawn: list[int], close: int
) -> None:
    drawn = sorted([*drawn, *(span + close * MINUTE_MS for span in drawn)])
    try:
        expected = [made.advance(start, span) for span in drawn]
    except DeadlineOutOfRange:
        with pytest.raises(DeadlineOutOfRange):
            made.advance_many(start, drawn)
    else:
        assert made.advance_many(start, drawn) == expected
        assert expected == sorted(expected)


@settings(max_examples=150)
@given(hours_at(), st.lists(st.tuples(instants, spans), min_size=1, max_size=6))
def test_what_was_asked_before_makes_no_difference(
    drawn: tuple[NaiveHours, int], questions: list[tuple[int, int]]
) -> None:
    schedule = drawn[0].schedule()
    used = compile_calendar(schedule)
    for start, span in questions:
        fresh = compile_calendar(schedule)
        assert used.open_between(start, start + span) == fresh.open_between(start, start + span)
        assert used.is_open(start) == compile_calendar(schedule).is_open(start)
        fresh = compile_calendar(schedule)
        assert advance_or_none(used, start, span) == advance_or_none(fresh, start, span)


@settings(max_examples=200)
@given(hours_at(), st.integers(0, 59_999), st.integers(0, 20 * DAY_MS), st.data())
def test_segments_partition_time(
    drawn: tuple[NaiveHours, int], offset: int, length: int, data: st.DataObject
) -> None:
    naive, moment = drawn
    made = compile_calendar(naive.schedule())
    start = moment + offset
    end = start + length
    found = list(made.segments(start, end))
    assert [part.from_ms for part in found] == [start, *(part.to_ms for part in found[:-1])][: len(found)]
    assert (found[-1].to_ms if found else start) == end
    assert all(part.from_ms < part.to_ms for part in found)
    assert all((one.is_open, one.cause) != (other.is_open, other.cause) for one, other in pairwise(found))
    assert sum(part.to_ms - part.from_ms for part in found if part.is_open) == made.open_between(start, end)
    for part in found:
        inside = data.draw(st.integers(part.from_ms, part.to_ms - 1))
        for at_ms in (part.from_ms, inside, part.to_ms - 1):
            assert made.is_open(at_ms) == naive.is_open(at_ms) == part.is_open
        if part.is_open:
            assert part.cause == ""
        else:
            assert part.cause in CAUSES


# --- the layers below -----------------------------------------------------------------------------------


@settings(max_examples=200)
@given(hours_at(), st.integers(-(10**6), 5 * 10**6))
def test_dates_and_totals_are_inverse_in_every_layer(drawn: tuple[NaiveHours, int], day: int) -> None:
    schedule = drawn[0].schedule()
    recurring = msgspec.structs.replace(
        schedule,
        holidays=tuple(holiday for holiday in schedule.holidays if holiday.is_recurring),
        date_overrides=tuple(override for override in schedule.date_overrides if override.is_recurring),
    )
    week = msgspec.structs.replace(schedule, holidays=(), date_overrides=())
    for hours in (open_hours(Openings(made)) for made in (week, recurring, schedule)):
        before, layout = hours.upto(day)
        assert hours.upto(day + 1)[0] == before + layout.total_ms
        if layout.total_ms:
            assert hours.reach(before + 1) == (day, 1, layout)
            assert hours.reach(before + layout.total_ms) == (day, layout.total_ms, layout)
            assert hours.reach(before)[0] < day
            assert hours.reach(before + layout.total_ms + 1)[0] > day


@given(st.dates())
def test_day_numbers_agree_with_python(day: date) -> None:
    number = day_number(day.year, day.month, day.day)
    assert number == day.toordinal() + 365  # year 0 is a leap year, of 366 days from day 0
    assert date_of(number) == (day.year, day.month, day.day)
    assert year_of(number) == day.year
    assert weekday(number) == day.isoweekday() % 7
    assert days_in_month(day.year, day.month) >= day.day


@given(st.integers(-(10**7), 10**7))
def test_dates_beyond_python_repeat_every_400_years(number: int) -> None:
    year, month, day = date_of(number)
    assert day_number(year, month, day) == number
    assert date_of(number + 146_097) == (year + 400, month, day)
    assert 1 <= day <= days_in_month(year, month)


@given(hours_at(), st.lists(spans, min_size=1, max_size=6), st.integers(-40 * DAY_MS, 60 * DAY_MS))
def test_days_that_are_laid_out_answer_as_the_layers_do(
    drawn: tuple[NaiveHours, int], some: list[int], away: int
) -> None:
    """Which way an answer is found depends on what was asked before; what it is must not (B7)."""
    hours, moment = drawn
    layers, laid_out = compile_calendar(hours.schedule()), compile_calendar(hours.schedule())
    for _ in range(NEAR_AFTER):
        laid_out.advance_many(moment, [1])
    one, other = sorted((moment + away, moment))
    assert laid_out.open_between(one, other) == layers.open_between(one, other)
    for start in (moment, moment + away):
        assert outcome(laid_out, start, sorted(some)) == outcome(layers, start, sorted(some))


def outcome(calendar: Calendar, start: int, some: list[int]) -> list[int] | None:
    """None: past year 9999."""
    try:
        return calendar.advance_many(start, some)
    except DeadlineOutOfRange:
        return None
