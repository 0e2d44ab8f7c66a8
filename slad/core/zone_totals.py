"""The open total before any instant of a zone, and its inverse.

On the local time line `slad.core.openhours` knows the total. A zone's clocks turn it into one over UTC (B5):
where they jump from local L1 to L2, time goes on, so what lies between, skipped or repeated, is taken out of
the total from then on. These corrections are running totals too, kept for the range of instants that was ever
asked for.

All instants are UTC epoch ms, all spans ms.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from slad.core.civil import EPOCH_DAY
from slad.core.instants import DAY_MS, MAX_INSTANT_MS
from slad.core.openhours import OpenHours
from slad.core.zones import Period, Zone

EPOCH_MS: Final = EPOCH_DAY * DAY_MS
"""From day 0, where local time is counted from, to the epoch."""


class Range(NamedTuple):
    """Some of a zone's periods, whole and in order, and the running total at the start of each.

    In period n, local time in ms since day 0 is the instant plus `shifts[n]`, and the total at an instant is
    the local one minus `corrections[n]`. Where the total is 0 is arbitrary, so an answer must take all its
    totals from one range.
    """

    starts: list[int]
    shifts: list[int]
    corrections: list[int]
    totals: list[int]
    end_ms: int
    end_total: int

    def covers(self, from_ms: int, to_ms: int) -> bool:
        """Whether both instants are in it."""
        return self.starts[0] <= from_ms and to_ms < self.end_ms


LONG_PERIODS: Final = 256
"""A range of more periods, two a year where clocks are put forward and back, is a long one."""

MOST_LONG_RANGES: Final = 8
"""One up to the year 9999 is 2.7 MB, and half a second's work."""


class LongRanges:
    """Owns the long ranges: those of the calendars that came for one last. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ranges: dict[ZoneTotals, Range] = {}
        """Those that were put in first come first."""

    def __len__(self) -> int:
        return len(self._ranges)

    def get(self, of: ZoneTotals) -> Range | None:
        """The long range of one, if it is kept."""
        return self._ranges.get(of)

    def put(self, of: ZoneTotals, known: Range) -> None:
        """Keeps a long range, in place of the one that was put in longest ago."""
        self._ranges.pop(of, None)
        self._ranges[of] = known
        for oldest in list(self._ranges)[: -self._most]:
            self._ranges.pop(oldest, None)


LONG_RANGES: Final = LongRanges(MOST_LONG_RANGES)


class ZoneTotals:
    """The totals of one schedule in its zone. Safe to share between threads.

    A range is never changed, only replaced: threads that do so at once merely repeat some work.
    """

    __slots__ = ("_hours", "_range", "_zone")

    def __init__(self, hours: OpenHours, zone: Zone) -> None:
        self._hours = hours
        self._zone = zone
        self._range: Range | None = None

    def total(self, known: Range, at_ms: int) -> int:
        """The total before an instant of a range."""
        period = bisect_right(known.starts, at_ms) - 1
        return self._local_total(at_ms + known.shifts[period]) - known.corrections[period]

    def instant(self, known: Range, total: int) -> tuple[int, int]:
        """The first instant at which the total is `total`, and for how long it is open from then."""
        # The last period that starts with less: of a repeated hour, the pass in which the total is reached.
        period = bisect_left(known.totals, total) - 1
        day, rest_ms, layout = self._hours.reach(total + known.corrections[period])
        time_ms, room_ms = layout.at(rest_ms)
        at_ms = day * DAY_MS + time_ms - known.shifts[period]
        next_period = period + 1
        until_ms = known.starts[next_period] if next_period < len(known.starts) else known.end_ms
        return at_ms, room_ms if at_ms + room_ms < until_ms else until_ms - at_ms

    def covering(self, from_ms: int, to_ms: int) -> Range:
        """A range with both instants in it."""
        known = self._range
        if known is not None and known.covers(from_ms, to_ms):
            return known
        known = LONG_RANGES.get(self) or known
        if known is None:
            known = self._keep(self._walk(self._zone.periods(from_ms), 0, until_ms=to_ms))
        if from_ms < known.starts[0]:
            head = self._walk(self._zone.periods(from_ms), 0, until_ms=known.starts[0] - 1)
            known = self._keep(_joined(head, known))
        if to_ms >= known.end_ms:
            tail = self._walk(self._zone.periods(known.end_ms), known.end_total, until_ms=to_ms)
            known = self._keep(_joined(known, tail))
        return known

    def reaching(self, start_ms: int, open_ms: int) -> tuple[Range, int]:
        """A range from `start_ms` on with `open_ms` of open time, and the total at the start.

        One that ends with year 9999 may have less.
        """
        known = self.covering(start_ms, start_ms)
        total = self.total(known, start_ms)
        if total + open_ms <= known.end_total:
            return known, total
        long = LONG_RANGES.get(self)
        if long is not None and long.covers(start_ms, start_ms):
            known, total = long, self.total(long, start_ms)
        if total + open_ms > known.end_total and known.end_ms <= MAX_INSTANT_MS:
            tail = self._walk(self._zone.periods(known.end_ms), known.end_total, until_total=total + open_ms)
            known = self._keep(_joined(known, tail))
        return known, total

    def _local_total(self, local_ms: int) -> int:
        day, time_ms = divmod(local_ms, DAY_MS)
        total, layout = self._hours.upto(day)
        return total + layout.before(time_ms)

    def _keep(self, known: Range) -> Range:
        if len(known.starts) > LONG_PERIODS:
            LONG_RANGES.put(self, known)
        else:
            self._range = known
        return known

    def _walk(
        self,
        periods: Iterable[Period],
        total: int,
        *,
        until_ms: int = MAX_INSTANT_MS,
        until_total: int | None = None,
    ) -> Range:
        """The range over `periods`, from a running total on, up to the period that passes a limit."""
        starts: list[int] = []
        shifts: list[int] = []
        corrections: list[int] = []
        totals: list[int] = []
        end_ms = 0
        for start_ms, end_ms, offset_ms in periods:
            shift = offset_ms + EPOCH_MS
            correction = self._local_total(start_ms + shift) - total
            starts.append(start_ms)
            shifts.append(shift)
            corrections.append(correction)
            totals.append(total)
            total = self._local_total(end_ms + shift) - correction
            if end_ms > until_ms or (until_total is not None and total >= until_total):
                break
        return Range(starts, shifts, corrections, totals, end_ms, total)


def _joined(one: Range, other: Range) -> Range:
    """Two ranges of which the second starts where the first ends; the first one's totals are made to fit."""
    assert one.end_ms == other.starts[0]
    lift = other.totals[0] - one.end_total
    return Range(
        one.starts + other.starts,
        one.shifts + other.shifts,
        [correction - lift for correction in one.corrections] + other.corrections,
        [total + lift for total in one.totals] + other.totals,
        other.end_ms,
        other.end_total,
    )
