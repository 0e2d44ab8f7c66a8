"""What a schedule may say, and how each thing it may not say is refused (B2, B4, B6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from slad.core.errors import InvalidField
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from slad.core.schedule import ALWAYS, Holiday, Schedule, Window, build_schedule, parse_holiday, parse_window

WEEKDAYS = [(day, "09:00", "17:00", True) for day in range(1, 6)]


def build(
    entries: Sequence[tuple[int, str, str, bool]] = WEEKDAYS,
    holidays: Sequence[tuple[str, bool, str]] = (),
    timezone: str = "Europe/Berlin",
) -> Schedule:
    return build_schedule(timezone=timezone, is_24x7=False, entries=entries, holidays=holidays)


def refusal(
    entries: Sequence[tuple[int, str, str, bool]] = WEEKDAYS,
    holidays: Sequence[tuple[str, bool, str]] = (),
    timezone: str = "Europe/Berlin",
) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        build(entries, holidays, timezone)
    assert caught.value.reason == caught.value.reason.upper()
    assert len(caught.value.message) < 200
    return caught.value


# --- windows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "start_ms", "end_ms"),
    [
        ("09:00", "17:30", 9 * HOUR_MS, 17 * HOUR_MS + 30 * MINUTE_MS),
        ("09:00:00", "17:30", 9 * HOUR_MS, 17 * HOUR_MS + 30 * MINUTE_MS),
        ("08:59:59", "17:00:01", 9 * HOUR_MS - SECOND_MS, 17 * HOUR_MS + SECOND_MS),
        ("00:00", "24:00", 0, DAY_MS),
        ("00:00:00", "24:00:00", 0, DAY_MS),
        ("00:00", "00:00:01", 0, SECOND_MS),
        ("22:00", "06:00", 22 * HOUR_MS, 30 * HOUR_MS),
        ("22:00", "00:00", 22 * HOUR_MS, DAY_MS),
        ("23:59:59", "23:59:58", DAY_MS - SECOND_MS, 2 * DAY_MS - 2 * SECOND_MS),
    ],
)
def test_a_window_in_ms(start: str, end: str, start_ms: int, end_ms: int) -> None:
    assert parse_window(3, start, end) == Window(3, start_ms, end_ms)


MALFORMED_TIMES = [
    "",
    " ",
    "9:00",
    "09:0",
    "0900",
    "09",
    "09:00:0",
    "09:00:00.5",
    "09:00:00:00",
    "09:00Z",
    "09:00+01:00",
    " 09:00",
    "09:00 ",
    "09:00\n",
    "09:60",
    "09:00:60",
    "25:00",
    "24:01",
    "24:00:01",
    "-1:00",
    "+9:00",
    "٠٩:٠٠",
    "０９:００",
    "9 AM",
    "null",
    "09:00" * 50,
]


@pytest.mark.parametrize("text", MALFORMED_TIMES)
def test_a_malformed_time_is_refused_at_its_field(text: str) -> None:
    error = refusal([*WEEKDAYS, (6, text, "12:00", True)])
    assert (error.field, error.reason) == ("entries[5].start_time", "MALFORMED_TIME")
    error = refusal([*WEEKDAYS, (6, "08:00", text, True)])
    assert (error.field, error.reason) == ("entries[5].end_time", "MALFORMED_TIME")


def test_messages_are_for_people() -> None:
    error = refusal([(6, "08:00", "25:00", True)])
    assert error.message == "'25:00' is not a time of day, HH:MM or HH:MM:SS up to 24:00"
    assert str(error) == f"entries[0].end_time: {error.message}"
    assert refusal(holidays=[("2026-02-30", False, "")]).message == (
        "'2026-02-30' is not a date of the calendar, YYYY-MM-DD"
    )
    assert "'24:00' can only end a window" in refusal([(6, "24:00", "08:00", True)]).message


@pytest.mark.parametrize("text", ["24:00", "24:00:00"])
def test_midnight_at_the_end_of_a_day_starts_no_window(text: str) -> None:
    for is_enabled in (True, False):
        error = refusal([*WEEKDAYS, (6, text, "08:00", is_enabled)])
        assert (error.field, error.reason) == ("entries[5].start_time", "MALFORMED_TIME")


@pytest.mark.parametrize(("start", "end"), [("09:00", "09:00"), ("09:00:00", "09:00"), ("00:00", "00:00:00")])
def test_an_enabled_window_that_ends_as_it_starts_is_refused(start: str, end: str) -> None:
    error = refusal([(1, start, end, True)])
    assert (error.field, error.reason) == ("entries[0].end_time", "EMPTY_WINDOW")


@pytest.mark.parametrize("day_of_week", [-1, 7, 2**31 - 1, -(2**31)])
def test_a_day_of_the_week_out_of_range_is_refused(day_of_week: int) -> None:
    for is_enabled in (True, False):
        error = refusal([*WEEKDAYS, (day_of_week, "09:00", "17:00", is_enabled)])
        assert (error.field, error.reason) == ("entries[5].day_of_week", "DAY_OF_WEEK_OUT_OF_RANGE")


@pytest.mark.parametrize(
    ("start", "end"),
    [("", ""), (" ", ""), ("", "12:00"), ("09:00", ""), ("00:00", "00:00"), ("09:00", "12:00")],
)
def test_a_disabled_entry_counts_for_nothing(start: str, end: str) -> None:
    assert build([*WEEKDAYS, (0, start, end, False)]) == build(WEEKDAYS)


@pytest.mark.parametrize("text", [text for text in MALFORMED_TIMES if text.strip()])
def test_a_disabled_entry_may_not_be_malformed(text: str) -> None:
    assert refusal([*WEEKDAYS, (0, text, "", False)]).field == "entries[5].start_time"
    assert refusal([*WEEKDAYS, (0, "", text, False)]).field == "entries[5].end_time"


@pytest.mark.parametrize(
    "window",
    [(7, 0, 1), (-1, 0, 1), (0, -1, 1), (0, DAY_MS, DAY_MS + 1), (0, 5, 5), (0, 5, 4), (0, 5, DAY_MS + 6)],
)
def test_a_window_is_checked_however_it_is_made(window: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not a window"):
        Window(*window)


# --- holidays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-25",
        "2026-12-25T00:00:00.000Z",
        "2026-12-25T23:59:59-11:00",
        "2026-12-25T00:00",
        "2026-12-25 00:00:00",
        "2026-12-25 00:00:00+00",
        "2026-12-25T24:00:00",
    ],
)
def test_a_date_counts_as_it_is_written(text: str) -> None:
    assert parse_holiday(text, False, " Christmas Day ") == Holiday(2026, 12, 25, False, "Christmas Day")


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "2024-02-29", "2000-02-29"])
def test_dates_at_the_edges(text: str) -> None:
    holiday = parse_holiday(text, True)
    assert (holiday.year, holiday.month, holiday.day) == tuple(map(int, text.split("-")))
    assert holiday.day_number == date.fromisoformat(text).toordinal() + 365


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-12",
        "2026-1-1",
        "26-01-01",
        "20261225",
        "2026/12/25",
        "25.12.2026",
        "12-25",
        "2026-W01-1",
        "2026-02-29",
        "1900-02-29",
        "2026-04-31",
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "0000-01-01",
        "10000-01-01",
        "-2026-01-01",
        "２０２６-01-01",
        " 2026-12-25",
        "2026-12-25 ",
        "2026-12-25\n",
        "2026-12-25T",
        "2026-12-25Z",
        "2026-12-25x00:00",
        "2026-12-25Tomorrow",
        "2026-12-25T25:00",
        "2026-12-25T00:60",
        "2026-12-25T00:00:00Zulu",
        "2026-12-25T00:00:00\n",
        "2026-12-251",
        "2026-12-25" * 50,
    ],
)
def test_a_malformed_date_is_refused_at_its_field(text: str) -> None:
    for is_recurring in (True, False):
        error = refusal(holidays=[("2026-01-01", True, ""), (text, is_recurring, "")])
        assert (error.field, error.reason) == ("holidays[1].holiday_date", "MALFORMED_DATE")


# --- schedules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timezone", ["", " ", "Europe/Atlantis", "../Berlin", "europe/berlin", "x" * 500])
def test_an_unknown_zone_is_refused(timezone: str) -> None:
    error = refusal(timezone=timezone)
    assert (error.field, error.reason) == ("timezone", "UNKNOWN_TIME_ZONE")


def test_the_first_thing_wrong_is_told() -> None:
    bad_entries, bad_holidays = [(1, "x", "y", True)], [("x", False, "")]
    assert refusal(bad_entries, bad_holidays, "x").field == "timezone"
    assert refusal(bad_entries, bad_holidays).field == "entries[0].start_time"
    assert refusal(holidays=bad_holidays).field == "holidays[0].holiday_date"
    assert refusal(holidays=bad_holidays).under("schedule").field == "schedule.holidays[0].holiday_date"


def test_24x7_ignores_everything_else() -> None:
    built = build_schedule(
        timezone="nowhere", is_24x7=True, entries=[(99, "x", "y", True)], holidays=[("never", True, "")]
    )
    assert built == ALWAYS


@pytest.mark.parametrize("entries", [[], [(1, "09:00", "17:00", False)], [(1, "", "", False)]])
def test_without_an_enabled_window_a_schedule_never_opens(entries: list[tuple[int, str, str, bool]]) -> None:
    error = refusal(entries)
    assert (error.field, error.reason) == ("entries", "SCHEDULE_NEVER_OPENS")


EVERY_DATE = [(str(date(2024, 1, 1) + timedelta(n)), True, "") for n in range(366)]


def test_holidays_on_every_date_for_ever_are_refused() -> None:
    error = refusal(holidays=EVERY_DATE)
    assert (error.field, error.reason) == ("holidays", "SCHEDULE_NEVER_OPENS")
    error = refusal([(0, "22:00", "06:00", True)], [*EVERY_DATE, *EVERY_DATE])
    assert (error.field, error.reason) == ("holidays", "SCHEDULE_NEVER_OPENS")


@pytest.mark.parametrize("left_free", ["2024-02-29", "2024-01-01", "2024-12-31"])
def test_one_date_a_year_left_free_is_enough(left_free: str) -> None:
    holidays = [holiday for holiday in EVERY_DATE if holiday[0] != left_free]
    assert len(build([(0, "09:00", "10:00", True)], holidays).holidays) == 365


def test_holidays_of_one_year_never_close_a_schedule_for_ever() -> None:
    build(holidays=[(text, False, "") for text, _, _ in EVERY_DATE])


def test_schedules_are_values() -> None:
    one, other = build(holidays=[("2026-12-25", True, "x")]), build(holidays=[("2026-12-25", True, "x")])
    assert one == other
    assert hash(one) == hash(other)
    assert one != build()
