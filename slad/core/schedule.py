"""Schedules as values, and their one way in: whatever is wrong is refused with the field named (B6).

What is accepted here opens sooner or later and can be compiled by `slad.core.calendar`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from dateutil.parser import isoparser

from slad.core.civil import MONTH_STARTS, date_of, day_number, days_in_month
from slad.core.errors import InvalidField
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from slad.core.zone_names import is_place, suggestions


@dataclass(frozen=True, slots=True)
class Window:
    """Open hours that start on one day of the week (B2), in ms of the local time of day.

    `day_of_week` counts from 0 = Sunday. `start_ms` lies in [0, 24 h); `end_ms` is exclusive, and beyond
    24 h it lies on the next day: 22:00–06:00 ends at 30 h. A window lasts for at most 24 h.
    """

    day_of_week: int
    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if not (
            0 <= self.day_of_week <= 6
            and 0 <= self.start_ms < DAY_MS
            and self.start_ms < self.end_ms <= self.start_ms + DAY_MS
        ):
            raise ValueError(f"not a window: {self}")

    @property
    def loses_a_minute(self) -> bool:
        """Whether it looks like a whole day and is one minute short, or a second: 00:00 to 23:59 (B9)."""
        return self.start_ms == 0 and DAY_MS - MINUTE_MS <= self.end_ms < DAY_MS


@dataclass(frozen=True, slots=True)
class Holiday:
    """A local date that is closed (B4). A recurring one is closed every year, whatever its `year`."""

    year: int
    month: int
    day: int
    is_recurring: bool
    name: str = ""

    @property
    def day_number(self) -> int:
        """The date as a day number (`slad.core.civil`)."""
        return day_number(self.year, self.month, self.day)


@dataclass(frozen=True, slots=True)
class DateOverride:
    """Other hours on the local dates [from_day, to_day], day numbers of `slad.core.civil` (B8).

    `hours` are (start_ms, end_ms) as in `Window`, on each of the dates; none: they are closed. A recurring
    one holds on the same months and days of every year.
    """

    from_day: int
    to_day: int
    is_recurring: bool
    hours: tuple[tuple[int, int], ...]
    name: str = ""


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """When time counts (B1). Of a 24x7 schedule nothing else is kept, so all of them are equal.

    The stored form of one without overrides is that of before there were any, and so is its digest.
    """

    timezone: str
    is_24x7: bool
    windows: tuple[Window, ...]
    holidays: tuple[Holiday, ...]
    date_overrides: tuple[DateOverride, ...] = ()


MAX_DATE_OVERRIDES: Final = 1_000
MAX_OVERRIDDEN_DATES: Final = 365
"""Dates that one override covers."""

_LEAP_YEAR: Final = day_number(2000, 1, 1)

ALWAYS: Final = Schedule(timezone="", is_24x7=True, windows=(), holidays=())
"""The 24x7 schedule."""


def build_schedule(
    *,
    timezone: str,
    is_24x7: bool,
    entries: Sequence[tuple[int, str, str, bool]],
    holidays: Sequence[tuple[str, bool, str]],
    date_overrides: Sequence[tuple[str, str, bool, str, Sequence[tuple[str, str]]]] = (),
) -> Schedule:
    """The schedule that a caller describes, or `InvalidField` for the first thing wrong with it (B6).

    `entries` are (day_of_week, start_time, end_time, is_enabled), `holidays` (holiday_date, is_recurring,
    name), `date_overrides` (from_date, to_date, is_recurring, name, entries of (start_time, end_time)).
    Field paths are relative to the schedule: `timezone`, `entries[2].end_time`,
    `date_overrides[0].entries[1].end_time`; `entries`, `holidays` or `date_overrides` alone if they keep the
    schedule closed for ever.
    """
    if is_24x7:
        return ALWAYS
    check_timezone(timezone)
    windows = []
    for index, (day_of_week, start_time, end_time, is_enabled) in enumerate(entries):
        try:
            if is_enabled:
                windows.append(parse_window(day_of_week, start_time, end_time))
            else:
                _check_disabled(day_of_week, start_time, end_time)
        except InvalidField as error:
            raise error.under(f"entries[{index}]") from None
    closed = []
    for index, (holiday_date, is_recurring, name) in enumerate(holidays):
        try:
            closed.append(parse_holiday(holiday_date, is_recurring, name))
        except InvalidField as error:
            raise error.under(f"holidays[{index}]") from None
    if len(date_overrides) > MAX_DATE_OVERRIDES:
        text = f"{len(date_overrides)} items, at most {MAX_DATE_OVERRIDES} are allowed"
        raise InvalidField("date_overrides", "TOO_MANY", text)
    overrides = []
    for index, described in enumerate(date_overrides):
        try:
            overrides.append(parse_date_override(*described))
        except InvalidField as error:
            raise error.under(f"date_overrides[{index}]") from None
    schedule = Schedule(timezone, False, tuple(windows), tuple(closed), tuple(overrides))
    _check_it_opens(schedule)
    return schedule


def recurring_overrides(schedule: Schedule) -> dict[tuple[int, int], int]:
    """By (month, day), 29 February too: the place of the last recurring override that holds there."""
    if not any(override.is_recurring for override in schedule.date_overrides):
        return {}
    places: list[int | None] = [None] * 366
    for place, override in enumerate(schedule.date_overrides):
        if override.is_recurring:
            first, last = (_day_of_year(day) for day in (override.from_day, override.to_day))
            if first <= last:
                places[first : last + 1] = [place] * (last + 1 - first)
            else:  # over the turn of the year
                places[first:] = [place] * (366 - first)
                places[: last + 1] = [place] * (last + 1)
    return {date_of(_LEAP_YEAR + day)[1:]: place for day, place in enumerate(places) if place is not None}


def _day_of_year(day: int) -> int:
    """The place of a date's month and day in a leap year."""
    _, month, day_of_month = date_of(day)
    return MONTH_STARTS[True][month - 1] + day_of_month - 1


def _check_it_opens(schedule: Schedule) -> None:
    """Refuses a schedule that has no date left on which something opens.

    A window opens on the date on which it starts, and in 400 years each date of the year, 29 February too,
    falls on each day of the week: a single date of the year is enough. Dates of one year alone are not.
    """
    closed = {(holiday.month, holiday.day) for holiday in schedule.holidays if holiday.is_recurring}
    places = recurring_overrides(schedule)
    opening = {date for date, place in places.items() if schedule.date_overrides[place].hours}
    if opening or (schedule.windows and len(closed | places.keys()) < 366):
        return
    if not schedule.windows:
        field, text = "entries", "no entry is enabled"
    elif len(closed) == 366:
        field, text = "holidays", "the recurring holidays close every date of the year"
    else:
        field, text = "date_overrides", "the recurring holidays and overrides close every date of the year"
    raise InvalidField(field, "SCHEDULE_NEVER_OPENS", f"{text}, so the schedule would never open")


def check_timezone(timezone: str) -> None:
    """Raises InvalidField for what is no name of a zone, with the nearest ones (B9)."""
    if is_place(timezone):
        return
    if not timezone:
        message = "a schedule that is not 24x7 needs an IANA time zone, such as 'Europe/Berlin'"
    else:
        near = suggestions(timezone)
        hint = f"; did you mean {' or '.join(near)}?" if near else ", such as 'Europe/Berlin'"
        message = f"{_quoted(timezone)} is not a time zone of the IANA database{hint}"
    raise InvalidField("timezone", "UNKNOWN_TIME_ZONE", message)


# --- windows --------------------------------------------------------------------------------------------

_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")


def parse_window(day_of_week: int, start_time: str, end_time: str) -> Window:
    """A window from its day (0 = Sunday) and "HH:MM" or "HH:MM:SS" times, the end up to "24:00" (B2).

    Raises `InvalidField` for `day_of_week`, `start_time` or `end_time`.
    """
    _check_day_of_week(day_of_week)
    return Window(day_of_week, *_parse_hours(start_time, end_time))


def _parse_hours(start_time: str, end_time: str) -> tuple[int, int]:
    """(start_ms, end_ms) as in `Window`."""
    start_ms = _parse_start(start_time)
    end_ms = _parse_time("end_time", end_time)
    if start_ms == end_ms:
        raise InvalidField(
            "end_time",
            "EMPTY_WINDOW",
            f"the window ends at {_quoted(end_time)}, when it starts; a whole day is 00:00 to 24:00",
        )
    return start_ms, end_ms if end_ms > start_ms else end_ms + DAY_MS


def _check_disabled(day_of_week: int, start_time: str, end_time: str) -> None:
    """A disabled entry may leave its times blank, and may be empty, but not be malformed."""
    _check_day_of_week(day_of_week)
    if start_time.strip():
        _parse_start(start_time)
    if end_time.strip():
        _parse_time("end_time", end_time)


def _check_day_of_week(day_of_week: int) -> None:
    if not 0 <= day_of_week <= 6:
        raise InvalidField(
            "day_of_week",
            "DAY_OF_WEEK_OUT_OF_RANGE",
            f"{day_of_week} is not a day of the week, 0 (Sunday) to 6 (Saturday)",
        )


def _parse_start(text: str) -> int:
    start_ms = _parse_time("start_time", text)
    if start_ms == DAY_MS:
        raise InvalidField(
            "start_time",
            "MALFORMED_TIME",
            f"{_quoted(text)} can only end a window; one that starts at midnight starts at 00:00",
        )
    return start_ms


def _parse_time(field: str, text: str) -> int:
    """A time of day in ms, 24:00 included."""
    match = _TIME.fullmatch(text)
    if match is not None:
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        time_ms = hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS
        if minute < 60 and second < 60 and time_ms <= DAY_MS:
            return time_ms
    raise InvalidField(
        field, "MALFORMED_TIME", f"{_quoted(text)} is not a time of day, HH:MM or HH:MM:SS up to 24:00"
    )


# --- dates ----------------------------------------------------------------------------------------------

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ](.+))?")


def parse_holiday(holiday_date: str, is_recurring: bool, name: str = "") -> Holiday:
    """A holiday from "YYYY-MM-DD", or from the date part of a longer ISO string (B4).

    The date is taken as it is written, whatever zone the rest names. Raises `InvalidField` for
    `holiday_date`.
    """
    year, month, day = _parse_date("holiday_date", holiday_date)
    return Holiday(year, month, day, is_recurring, name.strip())


def parse_date_override(
    from_date: str, to_date: str, is_recurring: bool, name: str, entries: Sequence[tuple[str, str]]
) -> DateOverride:
    """An override from dates as in `parse_holiday`, an empty `to_date` being `from_date`, and times (B8).

    Raises `InvalidField` for `from_date`, `to_date` or `entries[0].end_time`.
    """
    from_day = day_number(*_parse_date("from_date", from_date))
    to_day = day_number(*_parse_date("to_date", to_date)) if to_date else from_day
    if to_day < from_day:
        raise InvalidField("to_date", "BEFORE_FROM_DATE", f"{_quoted(to_date)} is before from_date")
    if to_day - from_day >= MAX_OVERRIDDEN_DATES:
        text = f"{to_day - from_day + 1} dates, at most {MAX_OVERRIDDEN_DATES} are allowed"
        raise InvalidField("to_date", "TOO_MANY_DATES", text)
    hours = []
    for index, (start_time, end_time) in enumerate(entries):
        try:
            hours.append(_parse_hours(start_time, end_time))
        except InvalidField as error:
            raise error.under(f"entries[{index}]") from None
    return DateOverride(from_day, to_day, is_recurring, tuple(hours), name.strip())


def _parse_date(field: str, text: str) -> tuple[int, int, int]:
    match = _DATE.fullmatch(text)
    if match is not None and (match[4] is None or _is_time(match[4])):
        year, month, day = int(match[1]), int(match[2]), int(match[3])
        if year >= 1 and 1 <= month <= 12 and 1 <= day <= days_in_month(year, month):
            return year, month, day
    raise InvalidField(field, "MALFORMED_DATE", f"{_quoted(text)} is not a date of the calendar, YYYY-MM-DD")


def _is_time(text: str) -> bool:
    try:
        isoparser().parse_isotime(text)
    except ValueError:
        return False
    return True


# --- back in words --------------------------------------------------------------------------------------


def format_date(day: int) -> str:
    """A day number as the date that `parse_holiday` reads."""
    year, month, day_of_month = date_of(day)
    return f"{year:04}-{month:02}-{day_of_month:02}"


def format_hours(start_ms: int, end_ms: int) -> tuple[str, str]:
    """(start_time, end_time) as `parse_window` reads them."""
    return _format_time(start_ms), _format_time(end_ms if end_ms <= DAY_MS else end_ms - DAY_MS)


def _format_time(time_ms: int) -> str:
    minutes, seconds = divmod(time_ms // SECOND_MS, 60)
    text = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text


def _quoted(text: str) -> str:
    """`text` for a message: escaped, and not longer than a message should be."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
