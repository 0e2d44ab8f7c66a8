"""Schedules as values, and their one way in: whatever is wrong is refused with the field named (B6).

What is accepted here opens sooner or later and can be compiled by `slad.core.calendar`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dateutil.parser import isoparser

from slad.core.civil import day_number, days_in_month
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
class Schedule:
    """When time counts (B1). Of a 24x7 schedule nothing else is kept, so all of them are equal."""

    timezone: str
    is_24x7: bool
    windows: tuple[Window, ...]
    holidays: tuple[Holiday, ...]


ALWAYS: Final = Schedule(timezone="", is_24x7=True, windows=(), holidays=())
"""The 24x7 schedule."""


def build_schedule(
    *,
    timezone: str,
    is_24x7: bool,
    entries: Sequence[tuple[int, str, str, bool]],
    holidays: Sequence[tuple[str, bool, str]],
) -> Schedule:
    """The schedule that a caller describes, or `InvalidField` for the first thing wrong with it (B6).

    `entries` are (day_of_week, start_time, end_time, is_enabled), `holidays` (holiday_date, is_recurring,
    name). Field paths are relative to the schedule: `timezone`, `entries[2].end_time`,
    `holidays[0].holiday_date`; `entries` or `holidays` alone if they keep the schedule closed for ever.
    """
    if is_24x7:
        return ALWAYS
    _check_timezone(timezone)
    windows = []
    for index, (day_of_week, start_time, end_time, is_enabled) in enumerate(entries):
        try:
            if is_enabled:
                windows.append(parse_window(day_of_week, start_time, end_time))
            else:
                _check_disabled(day_of_week, start_time, end_time)
        except InvalidField as error:
            raise error.under(f"entries[{index}]") from None
    if not windows:
        raise InvalidField(
            "entries", "SCHEDULE_NEVER_OPENS", "no entry is enabled, so the schedule would never open"
        )
    closed = []
    for index, (holiday_date, is_recurring, name) in enumerate(holidays):
        try:
            closed.append(parse_holiday(holiday_date, is_recurring, name))
        except InvalidField as error:
            raise error.under(f"holidays[{index}]") from None
    # Each window opens on the date it starts on, and in 400 years each date of the year, 29 February too,
    # falls on each day of the week: a single date left free is enough.
    if len({(holiday.month, holiday.day) for holiday in closed if holiday.is_recurring}) == 366:
        raise InvalidField(
            "holidays",
            "SCHEDULE_NEVER_OPENS",
            "the recurring holidays close every date of the year, so the schedule would never open",
        )
    return Schedule(timezone, False, tuple(windows), tuple(closed))


def _check_timezone(timezone: str) -> None:
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
    start_ms = _parse_start(start_time)
    end_ms = _parse_time("end_time", end_time)
    if start_ms == end_ms:
        raise InvalidField(
            "end_time",
            "EMPTY_WINDOW",
            f"the window ends at {_quoted(end_time)}, when it starts; a whole day is 00:00 to 24:00",
        )
    return Window(day_of_week, start_ms, end_ms if end_ms > start_ms else end_ms + DAY_MS)


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


# --- holidays -------------------------------------------------------------------------------------------

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ](.+))?")


def parse_holiday(holiday_date: str, is_recurring: bool, name: str = "") -> Holiday:
    """A holiday from "YYYY-MM-DD", or from the date part of a longer ISO string (B4).

    The date is taken as it is written, whatever zone the rest names. Raises `InvalidField` for
    `holiday_date`.
    """
    match = _DATE.fullmatch(holiday_date)
    if match is not None and (match[4] is None or _is_time(match[4])):
        year, month, day = int(match[1]), int(match[2]), int(match[3])
        if year >= 1 and 1 <= month <= 12 and 1 <= day <= days_in_month(year, month):
            return Holiday(year, month, day, is_recurring, name.strip())
    raise InvalidField(
        "holiday_date", "MALFORMED_DATE", f"{_quoted(holiday_date)} is not a date of the calendar, YYYY-MM-DD"
    )


def _is_time(text: str) -> bool:
    try:
        isoparser().parse_isotime(text)
    except ValueError:
        return False
    return True


def _quoted(text: str) -> str:
    """`text` for a message: escaped, and not longer than a message should be."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
