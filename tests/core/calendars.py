"""Calendars, and questions to them, as the tests write them."""

from __future__ import annotations

from datetime import date, timedelta

from slad.core.calendar import Calendar, compile_calendar
from slad.core.instants import MINUTE_MS, format_instant
from tests.core.naive_hours import Entry, NaiveHours, ms

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


NIGHTS: tuple[Entry, ...] = tuple((day, "22:00", "06:00", True) for day in range(7))


def busy_calendar(timezone: str) -> Calendar:
    holidays = [*recurring(*EVERY_DATE[::20]), *one_off(*(f"20{n}-07-0{n % 9 + 1}" for n in range(26, 60)))]
    return calendar(timezone, (*WORKDAYS, *NIGHTS), *holidays)
