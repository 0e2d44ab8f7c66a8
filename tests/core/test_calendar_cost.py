"""What calendars cost: counted calls, at any span and size (B7)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from tests.core.calendars import busy_calendar, calendar, one_off
from tests.core.naive_hours import ms
from tests.system.guard.counting import function_calls

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
    assert function_calls(lambda: made.open_between(start, far_end)) <= more + function_calls(
        lambda: made.open_between(start, day_end)
    )
    assert (
        function_calls(lambda: made.advance(start, far))
        <= function_calls(lambda: made.advance(start, one_day)) + 2 * more
    )
    assert function_calls(lambda: made.advance(start, far)) < 150


def test_cost_of_a_first_answer_does_not_grow_without_clock_changes() -> None:
    start = ms("2026-03-02T10:00:00Z")
    day = function_calls(lambda: busy_calendar("Asia/Tokyo").advance(start, 8 * HOUR_MS))
    years = function_calls(lambda: busy_calendar("Asia/Tokyo").advance(start, 20_000 * HOUR_MS))
    # Kinds of year are made when they are first met; this one meets two of them instead of one.
    assert years < day + 150


SPARSE = ((1, "02:30", "02:31", True),)


@pytest.mark.parametrize("years", [200, 2_000, 7_900])
def test_cost_of_a_first_answer_does_not_grow_with_the_span(years: int) -> None:
    start = ms("2026-03-02T10:00:00Z")
    minutes = years * 52 * MINUTE_MS
    few = function_calls(lambda: calendar("Europe/Berlin", SPARSE).advance(start, 60 * 52 * MINUTE_MS))
    many = function_calls(lambda: calendar("Europe/Berlin", SPARSE).advance(start, minutes))
    assert many <= few + 50
    span = years * 365 * DAY_MS
    assert function_calls(lambda: calendar("Europe/Berlin", SPARSE).open_between(start, start + span)) <= few


def test_fifty_thresholds_centuries_ahead_are_cheap() -> None:
    start = ms("2026-03-02T10:00:00Z")
    made = calendar("America/New_York", (*SPARSE, (0, "02:30", "02:31", True)))
    spans = [percent * 5_000 * MINUTE_MS for percent in range(1, 51)]
    made.advance_many(start, spans)
    assert function_calls(lambda: made.advance_many(start, spans)) < 50 * 100


def test_a_first_answer_meets_each_clock_change_once() -> None:
    start = ms("2026-03-02T10:00:00Z")
    day = function_calls(lambda: busy_calendar("Europe/Berlin").open_between(start, start + DAY_MS))
    years = function_calls(lambda: busy_calendar("Europe/Berlin").open_between(start, start + 3650 * DAY_MS))
    assert years < day + 14 * 80 + 20 * 80


def test_many_spans_cost_clearly_less_than_each_on_its_own() -> None:
    made = busy_calendar("Europe/Berlin")
    start = ms("2026-03-02T10:00:00Z")
    spans = [HOUR_MS * percent for percent in (50, 75, 90, 100, 110, 150, 200)]
    made.advance_many(start, spans)
    together = function_calls(lambda: made.advance_many(start, spans))
    apart = function_calls(lambda: [made.advance(start, span_ms) for span_ms in spans])
    assert together < 0.7 * apart
