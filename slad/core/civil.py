"""Calendar arithmetic on integers: no datetime, so a date outside years 1–9999 is a date like any other.

A *day number* counts dates of the proleptic Gregorian calendar from 0000-01-01, which is day 0 and a
Saturday. That calendar repeats every 400 years to the weekday, and counting from year 0 makes each
repetition start at a multiple of `DAYS_PER_CYCLE`.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Final

YEARS_PER_CYCLE: Final = 400
DAYS_PER_CYCLE: Final = 146_097
"""Days in 400 years; a multiple of 7, so that weekdays repeat too."""

EPOCH_DAY: Final = 719_528
"""The day number of 1970-01-01."""


def is_leap(year: int) -> bool:
    """Whether `year` has a 29 February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


MONTH_STARTS: Final = (
    tuple(accumulate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), initial=0)),
    tuple(accumulate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), initial=0)),
)
"""By [is_leap][month - 1]: the day of the year, from 0, on which a month starts; [12] is the length."""

YEAR_STARTS: Final = tuple(
    accumulate((366 if is_leap(year) else 365 for year in range(YEARS_PER_CYCLE)), initial=0)
)
"""By year of the cycle, 0–400: the day number of its 1 January."""

KINDS_OF_YEAR: Final = 14

YEAR_KINDS: Final = tuple(YEAR_STARTS[year] % 7 + 7 * is_leap(year) for year in range(YEARS_PER_CYCLE))
"""By year of the cycle: its kind, the day of the week of 1 January (0 = Saturday, as of day 0), plus 7 in
leap years. Years of a kind have the same dates on the same days of the week."""


def year_start(year: int) -> int:
    """The day number of 1 January."""
    cycle, year_of_cycle = divmod(year, YEARS_PER_CYCLE)
    return cycle * DAYS_PER_CYCLE + YEAR_STARTS[year_of_cycle]


def days_in_month(year: int, month: int) -> int:
    """The length of a month (1–12) in days."""
    starts = MONTH_STARTS[is_leap(year)]
    return starts[month] - starts[month - 1]


def day_number(year: int, month: int, day: int) -> int:
    """The day number of a date."""
    return year_start(year) + MONTH_STARTS[is_leap(year)][month - 1] + day - 1


def year_of(day: int) -> int:
    """The year that a day number lies in."""
    cycle, day_of_cycle = divmod(day, DAYS_PER_CYCLE)
    return cycle * YEARS_PER_CYCLE + bisect_right(YEAR_STARTS, day_of_cycle) - 1


def date_of(day: int) -> tuple[int, int, int]:
    """A day number as (year, month, day)."""
    year = year_of(day)
    starts = MONTH_STARTS[is_leap(year)]
    day_of_year = day - year_start(year)
    month = bisect_right(starts, day_of_year)
    return year, month, day_of_year - starts[month - 1] + 1


def weekday(day: int) -> int:
    """The day of the week of a day number, 0 = Sunday (B2)."""
    return (day + 6) % 7
