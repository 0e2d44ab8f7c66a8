"""Why a schedule is closed, in words for people."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

from slad.core.civil import date_of, weekday
from slad.core.instants import DAY_MS
from slad.core.openhours import CLOSED_DAY, Layout, Layouts, Week
from slad.core.openings import Openings
from slad.core.schedule import DateOverride, Schedule


class Causes:
    """The parts of each date of a schedule, with the cause of those that are closed."""

    def __init__(self, schedule: Schedule, openings: Openings) -> None:
        self._openings = openings
        self._usual = Week(openings, Layouts()).layouts
        self._window_days = {window.day_of_week for window in schedule.windows}
        self._one_off: dict[int, str] = {}
        self._recurring: dict[tuple[int, int], str] = {}
        for holiday in reversed(schedule.holidays):  # of several names for a date, the first counts
            if holiday.name and holiday.is_recurring:
                self._recurring[holiday.month, holiday.day] = holiday.name
            elif holiday.name:
                self._one_off[holiday.day_number] = holiday.name

    def parts(self, day: int, layout: Layout) -> Iterator[tuple[int, int, bool, str]]:
        """The parts of a date that has `layout`: (start, end, is open, cause), in ms of the time of day."""
        if layout is CLOSED_DAY:
            yield 0, DAY_MS, False, self._of_closed_day(day)
            return
        usual = self._usual[day % 7]
        stretches = {*layout.stretches(), *usual.stretches()}
        for start, end in pairwise(sorted({0, DAY_MS, *chain.from_iterable(stretches)})):
            if layout.contains(start):
                yield start, end, True, ""
            else:
                yield start, end, False, self._of_closed_hours(day, start, usual)

    def _of_closed_day(self, day: int) -> str:
        override = self._openings.override_of(day)
        if override is not None:
            return _named("closed", override)
        name = self._one_off.get(day) or self._recurring.get(date_of(day)[1:])
        return f"holiday: {name}" if name else "holiday"

    def _of_closed_hours(self, day: int, start: int, usual: Layout) -> str:
        if usual.contains(start):
            override = self._openings.override_of(day)
            if override is not None:
                return _named(
                    "half day" if override.from_day == override.to_day else "special hours", override
                )
            # A window of the day before would have lasted until now (B3).
            before = self._openings.override_of(day - 1)
            if before is None or not before.hours:
                return self._of_closed_day(day - 1)
            return _named("special hours", before)
        day_of_week = weekday(day)
        is_weekend = day_of_week in (0, 6) and day_of_week not in self._window_days
        return "weekend" if is_weekend else "outside business hours"


def _named(cause: str, override: DateOverride) -> str:
    return f"{cause}: {override.name}" if override.name else cause
