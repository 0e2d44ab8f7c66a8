"""The open hours of a schedule on the local time line, without regard to any zone.

Whether a local instant is open depends on its time of day and on three things about its date: the day of the
week, whether the date is a holiday, and whether the date before is one (B3). So each date has one of few
*layouts*, and three layers, each correcting the one below it, tell which one and how much was open before:

    Exceptions  one-off holidays and the dates after them: sorted, with running totals
    Years       recurring holidays: 14 kinds of year, repeating every 400 years
    Week        the windows: the same seven layouts for ever

Every layer answers two questions by bisection, so that no answer depends on the length of a span (B7):
`upto(day)` and its inverse, `reach(open_ms)`. Dates are day numbers (`slad.core.civil`), all else is ms;
open totals count from day 0 and are negative before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Protocol

from slad.core.civil import DAYS_PER_CYCLE, MONTH_STARTS, YEAR_STARTS, YEARS_PER_CYCLE, is_leap
from slad.core.instants import DAY_MS
from slad.core.schedule import Holiday, Window


class Layout:
    """The open stretches of one date, in ms of the local time of day."""

    __slots__ = ("_before", "_ends", "_starts", "total_ms")

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        """`stretches` are [start, end) in any order; where they overlap they count once (B2)."""
        starts: list[int] = []
        ends: list[int] = []
        for start, end in sorted(stretches):
            if not ends or start > ends[-1]:
                starts.append(start)
                ends.append(end)
            elif end > ends[-1]:
                ends[-1] = end
        lengths = [end - start for start, end in zip(starts, ends, strict=True)]
        self._starts = starts
        self._ends = ends
        self._before = list(accumulate(lengths, initial=0))
        self.total_ms = self._before.pop()

    def before(self, time_ms: int) -> int:
        """How much of the date is open before a time of day."""
        index = bisect_right(self._starts, time_ms) - 1
        if index < 0:
            return 0
        end = self._ends[index]
        return self._before[index] + (time_ms if time_ms < end else end) - self._starts[index]

    def at(self, open_ms: int) -> tuple[int, int]:
        """The first time of day before which `open_ms` were open, and for how long it stays open then.

        0 < open_ms <= total_ms.
        """
        index = bisect_left(self._before, open_ms) - 1
        time_ms = self._starts[index] + open_ms - self._before[index]
        return time_ms, self._ends[index] - time_ms

    def contains(self, time_ms: int) -> bool:
        """Whether a time of day is open."""
        index = bisect_right(self._starts, time_ms) - 1
        return index >= 0 and time_ms < self._ends[index]

    def stretches(self) -> list[tuple[int, int]]:
        """The open stretches [start, end), in order; they do not touch."""
        return list(zip(self._starts, self._ends, strict=True))


HOLIDAY: Final = Layout(())
"""The layout of every holiday, told from other closed dates by its identity."""


class OpenHours(Protocol):
    """One of the layers, with those below it."""

    def upto(self, day: int) -> tuple[int, Layout]:
        """How much is open on all dates before `day`, and the layout of `day`."""
        ...

    def reach(self, open_ms: int) -> tuple[int, int, Layout]:
        """The date on which the open total reaches `open_ms`, how much of it is open until then (more
        than 0), and its layout."""
        ...


class Week:
    """The weekly windows alone (B2). Days of the week count from day 0's, Saturday."""

    def __init__(self, windows: Iterable[Window]) -> None:
        own: list[list[tuple[int, int]]] = [[] for _ in range(7)]
        spilt: list[list[tuple[int, int]]] = [[] for _ in range(7)]
        for window in windows:
            day = (window.day_of_week + 1) % 7
            own[day].append((window.start_ms, min(window.end_ms, DAY_MS)))
            if window.end_ms > DAY_MS:
                spilt[(day + 1) % 7].append((0, window.end_ms - DAY_MS))
        self.layouts: Final = [Layout(own[day] + spilt[day]) for day in range(7)]
        # The day after a holiday lacks what the holiday's windows would have spilt into it (B3).
        self.after_holiday: Final = [
            Layout(own[day]) if spilt[day] else layout for day, layout in enumerate(self.layouts)
        ]
        self.spills: Final = any(spilt)
        self._before = list(accumulate((layout.total_ms for layout in self.layouts), initial=0))
        self._total_ms = self._before[7]
        if not self._total_ms:
            raise ValueError("a week without windows would never open")

    def upto(self, day: int) -> tuple[int, Layout]:
        """See `OpenHours`."""
        week, day_of_week = divmod(day, 7)
        return week * self._total_ms + self._before[day_of_week], self.layouts[day_of_week]

    def reach(self, open_ms: int) -> tuple[int, int, Layout]:
        """See `OpenHours`."""
        week, rest = divmod(open_ms - 1, self._total_ms)
        day_of_week = bisect_right(self._before, rest) - 1
        return week * 7 + day_of_week, rest + 1 - self._before[day_of_week], self.layouts[day_of_week]


class Exceptions:
    """Some dates that differ from the layer below, which holds for all the others."""

    def __init__(self, below: OpenHours, dates: Sequence[tuple[int, Layout]]) -> None:
        """`dates` are (day, layout) in order, each day once."""
        self._below = below
        self._days = [day for day, _ in dates]
        self._layouts = [layout for _, layout in dates]
        # By exception: the total before it, and how far totals are off between the one before it and it.
        self._before: list[int] = []
        self._corrections = [0]
        correction = 0
        for day, layout in dates:
            total_ms, usual = below.upto(day)
            self._before.append(total_ms + correction)
            correction += layout.total_ms - usual.total_ms
            self._corrections.append(correction)

    def upto(self, day: int) -> tuple[int, Layout]:
        """See `OpenHours`."""
        index = bisect_right(self._days, day)
        if index and self._days[index - 1] == day:
            return self._before[index - 1], self._layouts[index - 1]
        total_ms, layout = self._below.upto(day)
        return total_ms + self._corrections[index], layout

    def reach(self, open_ms: int) -> tuple[int, int, Layout]:
        """See `OpenHours`."""
        # The last exception before which less than `open_ms` is open: it, or a date between it and the next.
        index = bisect_left(self._before, open_ms)
        if index:
            rest_ms = open_ms - self._before[index - 1]
            layout = self._layouts[index - 1]
            if rest_ms <= layout.total_ms:
                return self._days[index - 1], rest_ms, layout
        return self._below.reach(open_ms - self._corrections[index])


_KINDS: Final = tuple(YEAR_STARTS[year] % 7 + 7 * is_leap(year) for year in range(YEARS_PER_CYCLE))
"""By year of the cycle: its kind, 1 January's day of the week (as in `Week`), plus 7 in leap years."""


class Years:
    """The weekly windows minus the recurring holidays (B4)."""

    def __init__(self, week: Week, dates: Iterable[tuple[int, int]]) -> None:
        """`dates` are the holidays as (month, day)."""
        self._week = week
        # By is_leap: the days of the year that are holidays, and those that only follow one.
        self._closed: list[list[int]] = []
        self._following: list[list[int]] = []
        unique = set(dates)
        for leap, starts in enumerate(MONTH_STARTS):
            days = {starts[month - 1] + day - 1 for month, day in unique if leap or (month, day) != (2, 29)}
            # What follows 31 December is 1 January, of every year.
            following = {(day + 1) % starts[12] for day in days} - days if week.spills else set()
            self._closed.append(sorted(days))
            self._following.append(sorted(following))
        # A kind of year is a stretch of weeks in which 1 January is day `kind % 7`, made when asked for.
        self._kinds: list[Exceptions | None] = [None] * 14
        self._lead = [week.upto(first)[0] for first in range(7)]
        totals = self._kind_totals()
        self._before = list(accumulate((totals[kind] for kind in _KINDS), initial=0))
        self._total_ms = self._before[YEARS_PER_CYCLE]
        if not self._total_ms:
            raise ValueError("a year of holidays only would never open")

    def _kind_totals(self) -> list[int]:
        usual = [layout.total_ms for layout in self._week.layouts]
        reduced = [layout.total_ms for layout in self._week.after_holiday]
        lost_closed = usual * 54  # of each day from a Saturday on, for a year and a week
        lost_following = [one - other for one, other in zip(usual, reduced, strict=True)] * 54
        totals = []
        for kind in range(14):
            leap, first = divmod(kind, 7)
            total_ms = self._week.upto(first + MONTH_STARTS[leap][12])[0] - self._lead[first]
            total_ms -= sum([lost_closed[first + day] for day in self._closed[leap]])
            total_ms -= sum([lost_following[first + day] for day in self._following[leap]])
            totals.append(total_ms)
        return totals

    def _make_kind(self, kind: int) -> Exceptions:
        leap, first = divmod(kind, 7)
        dates = [(first + day, HOLIDAY) for day in self._closed[leap]]
        after = self._week.after_holiday
        dates += [(first + day, after[(first + day) % 7]) for day in self._following[leap]]
        dates.sort(key=_day_of)
        made = self._kinds[kind] = Exceptions(self._week, dates)
        return made

    def upto(self, day: int) -> tuple[int, Layout]:
        """See `OpenHours`."""
        cycle, day_of_cycle = divmod(day, DAYS_PER_CYCLE)
        year = bisect_right(YEAR_STARTS, day_of_cycle) - 1
        kind = _KINDS[year]
        first = kind % 7
        weeks = self._kinds[kind] or self._make_kind(kind)
        total_ms, layout = weeks.upto(first + day_of_cycle - YEAR_STARTS[year])
        return cycle * self._total_ms + self._before[year] + total_ms - self._lead[first], layout

    def reach(self, open_ms: int) -> tuple[int, int, Layout]:
        """See `OpenHours`."""
        cycle, rest_ms = divmod(open_ms - 1, self._total_ms)
        year = bisect_right(self._before, rest_ms) - 1
        kind = _KINDS[year]
        first = kind % 7
        weeks = self._kinds[kind] or self._make_kind(kind)
        day, rest_ms, layout = weeks.reach(rest_ms + 1 - self._before[year] + self._lead[first])
        return cycle * DAYS_PER_CYCLE + YEAR_STARTS[year] + day - first, rest_ms, layout


def _day_of(date: tuple[int, Layout]) -> int:
    return date[0]


def without_holidays(week: Week, holidays: Iterable[Holiday]) -> OpenHours:
    """The layers over `week` that the holidays call for (B3, B4)."""
    recurring = [(holiday.month, holiday.day) for holiday in holidays if holiday.is_recurring]
    below: OpenHours = Years(week, recurring) if recurring else week
    days = {holiday.day_number for holiday in holidays if not holiday.is_recurring}
    dates: list[tuple[int, Layout]] = []
    for day in sorted(days):
        dates.append((day, HOLIDAY))
        if week.spills and day + 1 not in days and below.upto(day + 1)[1] is not HOLIDAY:
            dates.append((day + 1, week.after_holiday[(day + 1) % 7]))
    return Exceptions(below, dates) if dates else below
