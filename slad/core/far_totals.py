"""The open total of a schedule in its zone for all time.

Where a rule puts clocks forward and back every year, both changes lie equally in all years of a kind, and so
does what they skip and repeat of the open hours. So the correction of a year follows from its place in the
cycle of 400 years. What is of one year only changes it where it meets a clock change. Before the rule the
listed changes count.

All instants are UTC epoch ms, all spans ms.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from slad.core.civil import (
    DAYS_PER_CYCLE,
    EPOCH_DAY,
    KINDS_OF_YEAR,
    YEAR_KINDS,
    YEARS_PER_CYCLE,
    year_of,
    year_start,
)
from slad.core.instants import DAY_MS
from slad.core.openhours import OpenHours
from slad.core.period_totals import EPOCH_MS, PeriodTotals, local_total
from slad.core.zones import FOREVER_MS, Zone

LAST_YEAR: Final = 10_000
"""No instant is later (B6)."""


class _Kind(NamedTuple):
    """The two clock changes of a year of some kind."""

    one_ms: int
    """When the first one comes, since the year began in UTC."""
    two_ms: int
    one_shift: int
    """What local time, in ms since day 0, is ahead of the instant from then on."""
    two_shift: int
    one_jump: int
    """What the local total jumps by at the first change, every year."""
    two_jump: int
    changes: tuple[tuple[int, int, int, int, int], ...]
    """(first day of the year whose hours it touches, last one, since the year began, shift before, after)."""


class _Period(NamedTuple):
    """A stretch [start_ms, end_ms) of one offset. The total in it is the local one minus `correction`."""

    start_ms: int
    end_ms: int
    shift: int
    correction: int


class FarTotals:
    """The total at any instant. Immutable but for what it has not made yet; safe to share between threads."""

    end_total: Final = FOREVER_MS
    """There is no end."""

    def __init__(self, hours: OpenHours, zone: Zone, first_year: int) -> None:
        """`first_year` is the zone's first ruled one."""
        self._hours = hours
        self._zone = zone
        self._first = first_year
        self._kinds = [_kind(hours.every_year, zone, kind) for kind in range(KINDS_OF_YEAR)]
        jumps = [kind.one_jump + kind.two_jump for kind in self._kinds]
        self._before = list(accumulate([jumps[kind] for kind in YEAR_KINDS], initial=0))
        extra = list(self._extra_jumps())
        self._extra_at = [at_ms for at_ms, _ in extra]
        self._extra = list(accumulate((jump for _, jump in extra), initial=0))
        self._begin_ms = self._start_of(first_year)
        self._begin_total = self._total_from(first_year)
        cycle = hours.every_year.upto(DAYS_PER_CYCLE)[0] - hours.every_year.upto(0)[0]
        self._per_cycle = max(1, cycle - self._before[YEARS_PER_CYCLE])
        self._listed: PeriodTotals | None = None

    def covers(self, _from_ms: int, _to_ms: int) -> bool:
        """Whether both instants are in it: all are."""
        return True

    def total(self, at_ms: int) -> int:
        """The total before an instant; where it is 0 is arbitrary."""
        if at_ms < self._begin_ms:
            listed = self._before_rule()
            return self._begin_total + listed.total(at_ms) - listed.end_total
        period = self._period(at_ms)
        return local_total(self._hours, at_ms + period.shift) - period.correction

    def instant(self, total: int) -> tuple[int, int]:
        """The first instant at which the total is `total`, and for how long it is open from then."""
        if total <= self._begin_total:
            listed = self._before_rule()
            return listed.instant(total - self._begin_total + listed.end_total)
        year = self._year_of(total)
        # The last period that starts with less: of a repeated hour, the pass in which the total is reached.
        one, two = self._periods(year)
        starts_with = local_total(self._hours, two.start_ms + two.shift) - two.correction
        period = two if starts_with < total else one
        day, rest_ms, layout = self._hours.reach(total + period.correction)
        time_ms, room_ms = layout.at(rest_ms)
        at_ms = day * DAY_MS + time_ms - period.shift
        return at_ms, min(room_ms, period.end_ms - at_ms)

    def _year_of(self, total: int) -> int:
        """The last year whose first change comes with a total of less."""
        guess = self._first + (total - self._begin_total) * YEARS_PER_CYCLE // self._per_cycle
        for year in (guess, guess - 1):
            if self._first <= year <= LAST_YEAR and self._total_from(year) < total:
                if year == LAST_YEAR or total <= self._total_from(year + 1):
                    return year
                break
        ruled = range(self._first, LAST_YEAR + 1)
        return ruled[bisect_left(ruled, total, key=self._total_from) - 1]

    def _total_from(self, year: int) -> int:
        """The total at the first change of a year."""
        cycle, place = divmod(year, YEARS_PER_CYCLE)
        kind = self._kinds[YEAR_KINDS[place]]
        at_ms = (year_start(year) - EPOCH_DAY) * DAY_MS + kind.one_ms
        correction = cycle * self._before[YEARS_PER_CYCLE] + self._before[place] + kind.one_jump
        return local_total(self._hours, at_ms + kind.one_shift) - correction - self._extra_until(at_ms)

    def _start_of(self, year: int) -> int:
        """The first change of a year."""
        return (year_start(year) - EPOCH_DAY) * DAY_MS + self._kinds[
            YEAR_KINDS[year % YEARS_PER_CYCLE]
        ].one_ms

    def _period(self, at_ms: int) -> _Period:
        """The one that an instant from the first ruled change on lies in."""
        year = year_of(at_ms // DAY_MS + EPOCH_DAY)
        one, two = self._periods(year)
        if at_ms < one.start_ms:
            _, two = self._periods(year - 1)
            return two
        if at_ms >= two.end_ms:
            one, two = self._periods(year + 1)
        return one if at_ms < two.start_ms else two

    def _periods(self, year: int) -> tuple[_Period, _Period]:
        """From the first change of a year to the second, and from that one to the first of the next year."""
        cycle, place = divmod(year, YEARS_PER_CYCLE)
        kind = self._kinds[YEAR_KINDS[place]]
        begin_ms = (year_start(year) - EPOCH_DAY) * DAY_MS
        one_ms, two_ms = begin_ms + kind.one_ms, begin_ms + kind.two_ms
        correction = cycle * self._before[YEARS_PER_CYCLE] + self._before[place] + kind.one_jump
        return (
            _Period(one_ms, two_ms, kind.one_shift, correction + self._extra_until(one_ms)),
            _Period(
                two_ms,
                self._start_of(year + 1),
                kind.two_shift,
                correction + kind.two_jump + self._extra_until(two_ms),
            ),
        )

    def _extra_until(self, at_ms: int) -> int:
        return self._extra[bisect_right(self._extra_at, at_ms)] if self._extra_at else 0

    def _extra_jumps(self) -> Iterator[tuple[int, int]]:
        """(clock change, how much more the total jumps by at it) where that is of one year only; in order."""
        done_until = -FOREVER_MS
        for first, end in self._hours.one_off:
            for year in range(max(year_of(first), self._first), year_of(end - 1) + 1):
                start, kind = year_start(year), self._kinds[YEAR_KINDS[year % YEARS_PER_CYCLE]]
                for low, high, span_ms, before, after in kind.changes:
                    if start + high < first or start + low >= end:
                        continue  # the dates of nearly all changes
                    at_ms = (start - EPOCH_DAY) * DAY_MS + span_ms
                    if at_ms <= done_until:
                        continue
                    done_until = at_ms
                    jumps = (
                        local_total(hours, at_ms + after) - local_total(hours, at_ms + before)
                        for hours in (self._hours, self._hours.every_year)
                    )
                    if extra := next(jumps) - next(jumps):
                        yield at_ms, extra

    def _before_rule(self) -> PeriodTotals:
        """The total up to the first ruled change, from its own 0."""
        listed = self._listed
        if listed is None:
            periods = self._zone.periods(-FOREVER_MS)
            listed = self._listed = PeriodTotals.of(self._hours, periods, 0, until_ms=self._begin_ms - 1)
        return listed


def _kind(hours: OpenHours, zone: Zone, kind: int) -> _Kind:
    year = YEAR_KINDS.index(kind) + YEARS_PER_CYCLE
    (one_ms, one_offset), (two_ms, two_offset) = zone.changes_of(year)
    one_shift, two_shift = one_offset + EPOCH_MS, two_offset + EPOCH_MS
    begin_ms = (year_start(year) - EPOCH_DAY) * DAY_MS
    changes = []
    for at_ms, before, after in ((one_ms, two_shift, one_shift), (two_ms, one_shift, two_shift)):
        days = [(at_ms + shift) // DAY_MS - year_start(year) for shift in (before, after)]
        changes.append((min(days), max(days), at_ms - begin_ms, before, after))
    return _Kind(
        one_ms - begin_ms,
        two_ms - begin_ms,
        one_shift,
        two_shift,
        local_total(hours, one_ms + one_shift) - local_total(hours, one_ms + two_shift),
        local_total(hours, two_ms + two_shift) - local_total(hours, two_ms + one_shift),
        tuple(changes),
    )
