"""Some weeks of a calendar laid out in open stretches: an answer within them is one bisection.

Most questions are about now. All instants are UTC epoch ms, all spans ms.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

NEAR_DAYS: Final = 64
"""So many days are laid out at once; it takes some µs a day."""

NEAR_BEFORE_DAYS: Final = 16
"""How many of them lie before the instant that was asked for."""

NEAR_AFTER: Final = 128
"""Questions outside the days that are laid out, after which others are."""


class NearWeeks(msgspec.Struct, frozen=True):
    """The open stretches of [from_ms, to_ms) in order, apart, with the open time before each."""

    starts: list[int]
    ends: list[int]
    totals: list[int]
    from_ms: int
    to_ms: int
    end_total: int

    def total(self, at_ms: int) -> int:
        """The open time in [from_ms, at_ms)."""
        place = bisect_right(self.starts, at_ms) - 1
        if place < 0:
            return 0
        end_ms = self.ends[place]
        return self.totals[place] + (at_ms if at_ms < end_ms else end_ms) - self.starts[place]

    def advance_many(self, start_ms: int, start_total: int, open_ms: Sequence[int]) -> list[int]:
        """As `Calendar.advance_many`, given the total at `start_ms`; all must lie within these weeks."""
        starts, totals = self.starts, self.totals
        instants = []
        place, after = -1, 0
        for span_ms in open_ms:
            total = start_total + span_ms
            if place < 0 or total > after:
                # The last stretch before which less was open: closing time rather than the next opening.
                place = bisect_left(totals, total) - 1
                after = totals[place + 1] if place + 1 < len(totals) else self.end_total
            instants.append(starts[place] + total - totals[place] if span_ms else start_ms)
        return instants


def lay_out(stretches: Iterable[tuple[int, int]], from_ms: int, to_ms: int) -> NearWeeks:
    """The weeks of the open `stretches` of [from_ms, to_ms), which are in order and may touch."""
    starts: list[int] = []
    ends: list[int] = []
    totals: list[int] = []
    total = 0
    for start, end in stretches:
        if ends and ends[-1] == start:
            ends[-1] = end
        else:
            starts.append(start)
            ends.append(end)
            totals.append(total)
        total += end - start
    return NearWeeks(starts, ends, totals, from_ms, to_ms, total)
