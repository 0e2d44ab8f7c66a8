"""The open total before any instant of a zone, and its inverse.

On the local time line `slad.core.openhours` knows the total. A zone's clocks turn it into one over UTC (B5):
where they jump from local L1 to L2, time goes on, so what lies between, skipped or repeated, is taken out of
the total from then on. Some decades of these corrections are running totals, made as they are asked for; what
reaches further follows from the cycle of years.

All instants are UTC epoch ms, all spans ms.
"""

from __future__ import annotations

from typing import Final

from slad.core.far_totals import FarTotals
from slad.core.instants import DAY_MS, MAX_INSTANT_MS
from slad.core.openhours import OpenHours
from slad.core.period_totals import PeriodTotals
from slad.core.zones import Zone

NEAR_MS: Final = 40 * 366 * DAY_MS
"""How long a span has its periods looked at one by one, two a year where clocks are put forward and back."""

Totals = PeriodTotals | FarTotals
"""Where the total is 0 is arbitrary, so an answer must take all its totals from one of them."""


class ZoneTotals:
    """The totals of one schedule in its zone. Safe to share between threads.

    What it has is never changed, only replaced: threads that do so at once merely repeat some work.
    """

    __slots__ = ("_far", "_first_ruled_year", "_hours", "_near", "_zone")

    def __init__(self, hours: OpenHours, zone: Zone) -> None:
        self._hours = hours
        self._zone = zone
        self._first_ruled_year = zone.first_ruled_year
        self._near: PeriodTotals | None = None
        self._far: FarTotals | None = None

    def covering(self, from_ms: int, to_ms: int) -> Totals:
        """Totals with both instants in them."""
        known = self._near
        if known is not None and known.covers(from_ms, to_ms):
            return known
        first, last = from_ms, to_ms
        if known is not None:
            first, last = min(from_ms, known.starts[0]), max(to_ms, known.end_ms)
        if self._first_ruled_year is not None and last - first > NEAR_MS:
            return self._all()
        if known is None:
            known = self._walked(from_ms, 0, until_ms=to_ms)
        if from_ms < known.starts[0]:
            known = self._walked(from_ms, 0, until_ms=known.starts[0] - 1).joined(known)
        if to_ms >= known.end_ms:
            known = known.joined(self._walked(known.end_ms, known.end_total, until_ms=to_ms))
        self._near = known
        return known

    def reaching(self, start_ms: int, open_ms: int) -> tuple[Totals, int]:
        """Totals from `start_ms` on with `open_ms` of open time, and the one at the start.

        They may have less where year 9999 ends before.
        """
        known = self.covering(start_ms, start_ms)
        total = known.total(start_ms)
        if total + open_ms <= known.end_total or isinstance(known, FarTotals):
            return known, total
        until_ms = MAX_INSTANT_MS if self._first_ruled_year is None else known.starts[0] + NEAR_MS
        if known.end_ms <= until_ms:
            tail = self._walked(known.end_ms, known.end_total, until_ms=until_ms, until_total=total + open_ms)
            known = self._near = known.joined(tail)
        if total + open_ms <= known.end_total or self._first_ruled_year is None:
            return known, total
        far = self._all()
        return far, far.total(start_ms)

    def _all(self) -> FarTotals:
        far = self._far
        if far is None:
            assert self._first_ruled_year is not None
            far = self._far = FarTotals(self._hours, self._zone, self._first_ruled_year)
        return far

    def _walked(
        self, from_ms: int, total: int, *, until_ms: int, until_total: int | None = None
    ) -> PeriodTotals:
        periods = self._zone.periods(from_ms)
        return PeriodTotals.of(self._hours, periods, total, until_ms=until_ms, until_total=until_total)
