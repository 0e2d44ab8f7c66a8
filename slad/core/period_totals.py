"""The open total over some of a zone's periods, each looked at once.

All instants are UTC epoch ms, all spans ms.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from slad.core.civil import EPOCH_DAY
from slad.core.instants import DAY_MS, MAX_INSTANT_MS
from slad.core.openhours import OpenHours
from slad.core.zones import Period

EPOCH_MS: Final = EPOCH_DAY * DAY_MS
"""From day 0, where local time is counted from, to the epoch."""


def local_total(hours: OpenHours, local_ms: int) -> int:
    """How much is open before a local instant, in ms since day 0."""
    day, time_ms = divmod(local_ms, DAY_MS)
    total, layout = hours.upto(day)
    return total + layout.before(time_ms)


class PeriodTotals(NamedTuple):
    """Some of a zone's periods, whole and in order, and the running total at the start of each.

    In period n, local time in ms since day 0 is the instant plus `shifts[n]`, and the total at an instant is
    the local one minus `corrections[n]`. Where the total is 0 is arbitrary.
    """

    hours: OpenHours
    starts: list[int]
    shifts: list[int]
    corrections: list[int]
    totals: list[int]
    end_ms: int
    end_total: int

    @classmethod
    def of(
        cls,
        hours: OpenHours,
        periods: Iterable[Period],
        total: int,
        *,
        until_ms: int = MAX_INSTANT_MS,
        until_total: int | None = None,
    ) -> Self:
        """Those over `periods`, from a running total on, up to the period that passes a limit."""
        starts: list[int] = []
        shifts: list[int] = []
        corrections: list[int] = []
        totals: list[int] = []
        end_ms = 0
        for start_ms, end_ms, offset_ms in periods:
            shift = offset_ms + EPOCH_MS
            correction = local_total(hours, start_ms + shift) - total
            starts.append(start_ms)
            shifts.append(shift)
            corrections.append(correction)
            totals.append(total)
            total = local_total(hours, end_ms + shift) - correction
            if end_ms > until_ms or (until_total is not None and total >= until_total):
                break
        return cls(hours, starts, shifts, corrections, totals, end_ms, total)

    def joined(self, other: PeriodTotals) -> PeriodTotals:
        """With others, which start where these end; the total at the start of these is made to fit."""
        assert self.end_ms == other.starts[0]
        lift = other.totals[0] - self.end_total
        return PeriodTotals(
            self.hours,
            self.starts + other.starts,
            self.shifts + other.shifts,
            [correction - lift for correction in self.corrections] + other.corrections,
            [total + lift for total in self.totals] + other.totals,
            other.end_ms,
            other.end_total,
        )

    def covers(self, from_ms: int, to_ms: int) -> bool:
        """Whether both instants are in it."""
        return self.starts[0] <= from_ms and to_ms < self.end_ms

    def total(self, at_ms: int) -> int:
        """The total before an instant that is in it."""
        period = bisect_right(self.starts, at_ms) - 1
        return local_total(self.hours, at_ms + self.shifts[period]) - self.corrections[period]

    def instant(self, total: int) -> tuple[int, int]:
        """The first instant at which the total is `total`, and for how long it is open from then."""
        # The last period that starts with less: of a repeated hour, the pass in which the total is reached.
        period = bisect_left(self.totals, total) - 1
        day, rest_ms, layout = self.hours.reach(total + self.corrections[period])
        time_ms, room_ms = layout.at(rest_ms)
        at_ms = day * DAY_MS + time_ms - self.shifts[period]
        next_period = period + 1
        until_ms = self.starts[next_period] if next_period < len(self.starts) else self.end_ms
        return at_ms, room_ms if at_ms + room_ms < until_ms else until_ms - at_ms
