"""The open hours of a schedule on the local time line, without regard to any zone.

Whether a local instant is open depends on its time of day and on what opens on its date and on the one before
it (`slad.core.openings`). So each date has one of few *layouts*, and three layers, each correcting the one
below it, tell which one and how much was open before:

    Exceptions  holidays and overrides of one year, and the dates after them: sorted, with running totals
    Years       recurring holidays and overrides: 14 kinds of year, repeating every 400 years
    Week        the windows: the same seven layouts for ever

Every layer answers two questions by bisection, so that no answer depends on the length of a span (B7):
`upto(day)` and its inverse, `reach(open_ms)`. Dates are day numbers (`slad.core.civil`), all else is ms;
open totals count from day 0 and are negative before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Protocol, Self

from slad.core.civil import (
    DAYS_PER_CYCLE,
    KINDS_OF_YEAR,
    MONTH_STARTS,
    YEAR_KINDS,
    YEAR_STARTS,
    YEARS_PER_CYCLE,
)
from slad.core.openings import Opening, Openings, Stretches


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


CLOSED_DAY: Final = Layout(())
"""The layout of every date that is closed as a whole (B3), told from others without hours by its identity."""


class Layouts:
    """The layouts that openings of two dates in a row make; each is made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[Stretches, Stretches], Layout] = {}

    def of(self, opening: Opening, before: Opening) -> Layout:
        """The layout of a date with `opening`, after one with the opening `before`."""
        if opening.closed:
            return CLOSED_DAY
        key = opening.own, before.spilt
        layout = self._made.get(key)
        if layout is None:
            layout = self._made[key] = Layout((*opening.own, *before.spilt))
        return layout


class OpenHours(Protocol):
    """One of the layers, with those below it."""

    @property
    def every_year(self) -> OpenHours:
        """The same without what is of one year only: of every year of a kind it tells the same."""
        ...

    @property
    def one_off(self) -> Iterable[tuple[int, int]]:
        """Dates [first, end) that differ from `every_year`, in order."""
        ...

    def upto(self, day: int) -> tuple[int, Layout]:
        """How much is open on all dates before `day`, and the layout of `day`."""
        ...

    def reach(self, open_ms: int) -> tuple[int, int, Layout]:
        """The date on which the open total reaches `open_ms`, how much of it is open until then (more
        than 0), and its layout."""
        ...


class _EveryYear:
    """What no single year changes."""

    one_off: Final[Iterable[tuple[int, int]]] = ()

    @property
    def every_year(self) -> Self:
        """See `OpenHours`."""
        return self


class Week(_EveryYear):
    """The weekly windows alone (B2). Days of the week count from day 0's, Saturday."""

    def __init__(self, openings: Openings, made: Layouts) -> None:
        weekly = openings.weekly
        self.layouts: Final = [made.of(weekly[day], weekly[day - 1]) for day in range(7)]
        self._before = list(accumulate((layout.total_ms for layout in self.layouts), initial=0))
        self._total_ms = self._before[7]
        self.opens: Final = self._total_ms > 0

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

    def __init__(self, below: OpenHours, runs: Sequence[tuple[int, int, Layout]]) -> None:
        """`runs` are (first day, end, layout): dates [first, end) of one layout each; in order and apart."""
        self._below = below
        self._firsts = [first for first, _, _ in runs]
        self._ends = [end for _, end, _ in runs]
        self._layouts = [layout for _, _, layout in runs]
        self._totals = [(end - first) * layout.total_ms for first, end, layout in runs]
        # By run: the total before it, and how far totals are off between the one before it and it.
        self._before: list[int] = []
        self._corrections = [0]
        correction = 0
        for (first, end, _), total_ms in zip(runs, self._totals, strict=True):
            before_ms, usual = below.upto(first)
            usual_ms = usual.total_ms if end == first + 1 else below.upto(end)[0] - before_ms
            self._before.append(before_ms + correction)
            correction += total_ms - usual_ms
            self._corrections.append(correction)

    @property
    def every_year(self) -> OpenHours:
        """See `OpenHours`."""
        return self._below

    @property
    def one_off(self) -> Iterable[tuple[int, int]]:
        """See `OpenHours`."""
        return zip(self._firsts, self._ends, strict=True)

    def upto(self, day: int) -> tuple[int, Layout]:
        """See `OpenHours`."""
        index = bisect_right(self._firsts, day)
        if index and day < self._ends[index - 1]:
            layout = self._layouts[index - 1]
            return self._before[index - 1] + (day - self._firsts[index - 1]) * layout.total_ms, layout
        total_ms, layout = self._below.upto(day)
        return total_ms + self._corrections[index], layout

    def reach(self, open_ms: int) -> tuple[int, int, Layout]:
        """See `OpenHours`."""
        # The last run before which less than `open_ms` is open: in it, or between it and the next.
        index = bisect_left(self._before, open_ms)
        if index:
            rest_ms = open_ms - self._before[index - 1]
            if rest_ms <= self._totals[index - 1]:
                layout = self._layouts[index - 1]
                days, rest_ms = divmod(rest_ms - 1, layout.total_ms)
                return self._firsts[index - 1] + days, rest_ms + 1, layout
        return self._below.reach(open_ms - self._corrections[index])


class Years(_EveryYear):
    """The weekly windows but for what differs every year (B4, B8)."""

    def __init__(self, week: Week, openings: Openings, made: Layouts) -> None:
        self._week = week
        self._openings = openings
        self._made = made
        self._patterns: dict[tuple[Opening | None, Opening | None], list[Layout]] = {}
        # By is_leap: the days of the year that differ, each with its layouts by day of the week.
        self._special = [self._special_days(leap) for leap in (False, True)]
        # A kind of year is a stretch of weeks in which 1 January is day `kind % 7`, made when asked for.
        self._kinds: list[Exceptions | None] = [None] * KINDS_OF_YEAR
        self._lead = [week.upto(first)[0] for first in range(7)]
        totals = self._kind_totals()
        self._before = list(accumulate([totals[kind] for kind in YEAR_KINDS], initial=0))
        self._total_ms = self._before[YEARS_PER_CYCLE]
        if not self._total_ms:
            raise ValueError("a schedule that would never open")

    def _special_days(self, leap: bool) -> list[tuple[int, list[Layout]]]:
        starts = MONTH_STARTS[leap]
        length = starts[12]
        openings = {
            starts[month - 1] + day - 1: opening
            for (month, day), opening in self._openings.recurring.items()
            if leap or (month, day) != (2, 29)
        }
        days = set(openings)
        if any(opening.spilt for opening in (*self._openings.weekly, *openings.values())):
            # What follows 31 December is 1 January, of every year.
            days |= {(day + 1) % length for day in openings}
        return [
            (day, self._layouts(openings.get(day), openings.get((day - 1) % length))) for day in sorted(days)
        ]

    def _layouts(self, opening: Opening | None, before: Opening | None) -> list[Layout]:
        """By day of the week, the layouts of two dates in a row; None: the week's."""
        key = opening, before
        layouts = self._patterns.get(key)
        if layouts is None:
            weekly = self._openings.weekly
            layouts = self._patterns[key] = [
                self._made.of(opening or weekly[day], before or weekly[day - 1]) for day in range(7)
            ]
        return layouts

    def _kind_totals(self) -> list[int]:
        usual = [layout.total_ms for layout in self._week.layouts]
        totals = []
        for kind in range(KINDS_OF_YEAR):
            leap, first = divmod(kind, 7)
            total_ms = self._week.upto(first + MONTH_STARTS[leap][12])[0] - self._lead[first]
            for day, layouts in self._special[leap]:
                day_of_week = (first + day) % 7
                total_ms += layouts[day_of_week].total_ms - usual[day_of_week]
            totals.append(total_ms)
        return totals

    def _make_kind(self, kind: int) -> Exceptions:
        leap, first = divmod(kind, 7)
        usual = self._week.layouts
        runs: list[tuple[int, int, Layout]] = []
        for day_of_year, layouts in self._special[leap]:
            day = first + day_of_year
            layout = layouts[day % 7]
            if layout is not usual[day % 7]:
                _append(runs, day, day + 1, layout)
        made = self._kinds[kind] = Exceptions(self._week, runs)
        return made

    def upto(self, day: int) -> tuple[int, Layout]:
        """See `OpenHours`."""
        cycle, day_of_cycle = divmod(day, DAYS_PER_CYCLE)
        year = bisect_right(YEAR_STARTS, day_of_cycle) - 1
        kind = YEAR_KINDS[year]
        first = kind % 7
        weeks = self._kinds[kind] or self._make_kind(kind)
        total_ms, layout = weeks.upto(first + day_of_cycle - YEAR_STARTS[year])
        return cycle * self._total_ms + self._before[year] + total_ms - self._lead[first], layout

    def reach(self, open_ms: int) -> tuple[int, int, Layout]:
        """See `OpenHours`."""
        cycle, rest_ms = divmod(open_ms - 1, self._total_ms)
        year = bisect_right(self._before, rest_ms) - 1
        kind = YEAR_KINDS[year]
        first = kind % 7
        weeks = self._kinds[kind] or self._make_kind(kind)
        day, rest_ms, layout = weeks.reach(rest_ms + 1 - self._before[year] + self._lead[first])
        return cycle * DAYS_PER_CYCLE + YEAR_STARTS[year] + day - first, rest_ms, layout


def _append(runs: list[tuple[int, int, Layout]], first: int, end: int, layout: Layout) -> None:
    """Adds dates [first, end), to the last run if they go on with it."""
    if runs and runs[-1][1] == first and runs[-1][2] is layout:
        first = runs.pop()[0]
    runs.append((first, end, layout))


def open_hours(openings: Openings) -> OpenHours:
    """The layers that a schedule's openings call for."""
    made = Layouts()
    week = Week(openings, made)
    below: OpenHours = Years(week, openings, made) if openings.recurring else week
    if below is week and not week.opens:
        raise ValueError("a schedule that would never open")
    if not openings.one_off:
        return below
    runs: list[tuple[int, int, Layout]] = []
    before: Opening | None = None  # of the date before `end`
    end = openings.one_off[0][0]
    for first, last, opening in openings.one_off:
        if before is not None and end < first:
            _append_follower(runs, end, before, openings, made)
            before = None
        if opening.closed:
            _append(runs, first, last + 1, CLOSED_DAY)
        else:
            layout = made.of(opening, before or openings.of_every_year(first - 1))
            _append(runs, first, first + 1, layout)
            if last > first:
                _append(runs, first + 1, last + 1, made.of(opening, opening))
        before, end = opening, last + 1
    if before is not None:
        _append_follower(runs, end, before, openings, made)
    return Exceptions(below, runs)


def _append_follower(
    runs: list[tuple[int, int, Layout]], day: int, before: Opening, openings: Openings, made: Layouts
) -> None:
    """The date after a one-off opening differs if another would have run over into it (B3)."""
    usual_before = openings.of_every_year(day - 1)
    if before.spilt == usual_before.spilt:
        return
    opening = openings.of_every_year(day)
    layout = made.of(opening, before)
    if layout is not made.of(opening, usual_before):
        _append(runs, day, day + 1, layout)
