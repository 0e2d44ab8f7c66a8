"""What starts on each local date: the week's windows, nothing on a holiday, or an override's (B3, B4, B8).

An override replaces the weekly windows and lifts a holiday; of several on a date the last in the list counts,
whether it recurs or not. Dates are day numbers (`slad.core.civil`), times ms of the local time of day.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from slad.core.civil import MONTH_STARTS, date_of, is_leap, year_of, year_start
from slad.core.instants import DAY_MS
from slad.core.schedule import DateOverride, Schedule, recurring_overrides

Stretches = tuple[tuple[int, int], ...]
"""[start, end) each, in ms of the local time of day; in any order, they may overlap."""


class Opening(NamedTuple):
    """The windows that start on a date."""

    own: Stretches
    """Their part of that date."""
    spilt: Stretches
    """Their part of the next date."""
    closed: bool = False
    """Nothing counts on the date, what would run over from the day before included."""


CLOSED: Final = Opening((), (), closed=True)

NONE: Final = -1
"""No override."""


def _opening(hours: Iterator[tuple[int, int]]) -> Opening:
    own: list[tuple[int, int]] = []
    spilt: list[tuple[int, int]] = []
    for start_ms, end_ms in hours:
        own.append((start_ms, min(end_ms, DAY_MS)))
        if end_ms > DAY_MS:
            spilt.append((0, end_ms - DAY_MS))
    return Opening(tuple(own), tuple(spilt))


class Openings:
    """The openings of all dates of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        windows = schedule.windows
        self.weekly: Final = [
            _opening((w.start_ms, w.end_ms) for w in windows if (w.day_of_week + 1) % 7 == day)
            for day in range(7)
        ]
        """By `day % 7`."""
        self._overrides = schedule.date_overrides
        self._by_override = [
            _opening(iter(override.hours)) if override.hours else CLOSED for override in self._overrides
        ]
        self._recurring = recurring_overrides(schedule)
        self._recurring_places = [
            [
                self._recurring.get((month, day), NONE)
                for month in range(1, 13)
                for day in range(1, starts[month] - starts[month - 1] + 1)
            ]
            for starts in (MONTH_STARTS if self._recurring else ())
        ]
        """By is_leap and day of the year: the place of the last recurring override there."""
        self._firsts, self._winners = self._one_off_winners()
        recurring = {(h.month, h.day): CLOSED for h in schedule.holidays if h.is_recurring}
        recurring |= {date: self._by_override[winner] for date, winner in self._recurring.items()}
        self.recurring: Final = recurring
        """By (month, day): the dates that differ from the week every year."""
        holidays = {holiday.day_number for holiday in schedule.holidays if not holiday.is_recurring}
        self.one_off: Final = self._one_off(holidays)
        """(first, last, opening) of the dates that differ from all other years; in order, apart."""

    def of_every_year(self, day: int) -> Opening:
        """The opening of a date, but for what is of one year only."""
        if self.recurring:
            special = self.recurring.get(date_of(day)[1:])
            if special is not None:
                return special
        return self.weekly[day % 7]

    def override_of(self, day: int) -> DateOverride | None:
        """The override that holds on a date."""
        place = bisect_right(self._firsts, day) - 1
        winner = self._winners[place] if place >= 0 else NONE
        if self._recurring:
            winner = max(winner, self._recurring.get(date_of(day)[1:], NONE))
        return None if winner == NONE else self._overrides[winner]

    def _one_off_winners(self) -> tuple[list[int], list[int]]:
        """Dates from which on another one-off override is the last, and its place."""
        ranges = [
            (override.from_day, override.to_day + 1, place)
            for place, override in enumerate(self._overrides)
            if not override.is_recurring
        ]
        firsts = sorted({edge for first, end, _ in ranges for edge in (first, end)})
        index = {first: place for place, first in enumerate(firsts)}
        winners = [NONE] * len(firsts)
        for first, end, place in ranges:
            length = index[end] - index[first]
            winners[index[first] : index[end]] = [place] * length
        return firsts, winners

    def _one_off(self, holidays: set[int]) -> list[tuple[int, int, Opening]]:
        found = [(day, day, CLOSED) for day in holidays if self.override_of(day) is None]
        last_recurring = max(self._recurring.values(), default=NONE)
        for (first, winner), (end, _) in pairwise(zip(self._firsts, self._winners, strict=True)):
            if winner == NONE:
                continue
            opening = self._by_override[winner]
            if winner > last_recurring:
                found.append((first, end - 1, opening))
                continue
            found += [(day, last, opening) for day, last in self._not_overruled(first, end, winner)]
        found.sort(key=_first)
        return found

    def _not_overruled(self, first: int, end: int, winner: int) -> Iterator[tuple[int, int]]:
        """The parts (first, last) of [first, end) on which no recurring override is later in the list."""
        begin = first
        for year in range(year_of(first), year_of(end - 1) + 1):
            january = year_start(year)
            places = self._recurring_places[is_leap(year)]
            for day in range(max(first, january), min(end, january + len(places))):
                if places[day - january] > winner:
                    if begin < day:
                        yield begin, day - 1
                    begin = day + 1
        if begin < end:
            yield begin, end - 1


def _first(piece: tuple[int, int, Opening]) -> int:
    return piece[0]
