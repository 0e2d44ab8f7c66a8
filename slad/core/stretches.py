"""The stretches in which a clock runs, between the stops that it heeds, and what it has counted in them (C2).

All instants are UTC epoch ms, all spans ms.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from slad.core.errors import DeadlineOutOfRange
from slad.core.history import BLOCK, Stop, beginning
from slad.core.instants import MINUTE_MS
from slad.core.tracking import PauseAccounting


class BusinessTime(Protocol):
    """What a compiled calendar offers (see `slad.core.calendar`). UTC epoch ms, open ms."""

    def __hash__(self) -> int: ...

    @property
    def timezone(self) -> str:
        """The IANA zone; "" when every hour is open."""
        ...

    def open_between(self, a: int, b: int, /) -> int:
        """Open time in [a, b)."""
        ...

    def advance_many(self, start: int, spans: Sequence[int], /) -> list[int]:
        """The first instants at which each of the ascending `spans` of open time since `start` has passed.

        Raises DeadlineOutOfRange.
        """
        ...


def within(stops: tuple[Stop, ...], opened_at: int, closed_at: int | None) -> tuple[Stop, ...]:
    """The parts of `stops` that lie within a cycle; one that lasts beyond its end is still running there."""
    first = bisect_left(stops, opened_at, key=beginning)
    end = len(stops) if closed_at is None else bisect_left(stops, closed_at, key=beginning)
    found = stops[first:end]
    if first and ((ended := stops[first - 1].to_ms) is None or ended > opened_at):
        found = (msgspec.structs.replace(stops[first - 1], from_ms=opened_at), *found)
    if closed_at is not None and found and (ended := found[-1].to_ms) is not None and ended > closed_at:
        found = (*found[:-1], msgspec.structs.replace(found[-1], to_ms=None))
    return found


class Unstopped(msgspec.Struct, frozen=True):
    """The one stretch of a clock that was never stopped: most are."""

    begin: int

    def elapsed(self, calendar: BusinessTime, until: int, *, resumed: bool = False) -> int:
        """Open ms counted until an instant; `resumed`: were it resumed now."""
        return calendar.open_between(self.begin, until)

    def reach(self, calendar: BusinessTime, needs: list[int]) -> Sequence[int | None]:
        """The instants at which each of the ascending `needs` of open ms has been counted."""
        return _advance(calendar, self.begin, needs)


class Counted(msgspec.Struct, frozen=True):
    """The stretches in which a clock runs, each with the open time counted before it."""

    begins: list[int]
    """Where each stretch begins, as the calendar sees it."""
    counted: list[int]
    """Open ms counted before each stretch."""
    shifts: list[int]
    """How far behind the wall clock the calendar is read in each stretch, ms."""
    floors: list[int]
    """Before this wall instant nothing in the stretch can happen."""
    ends: list[int]
    """The wall instants at which the stops after each stretch begin."""
    stopped: bool
    """The last stretch has not begun: it is what would be, were the ticket resumed now."""

    def elapsed(self, calendar: BusinessTime, until: int, *, resumed: bool = False) -> int:
        """See `Unstopped.elapsed`."""
        place = bisect_left(self.ends, until)
        if self.stopped and place == len(self.ends) and not resumed:
            return self.counted[-1]
        return self.counted[place] + calendar.open_between(self.begins[place], until - self.shifts[place])

    def reach(self, calendar: BusinessTime, needs: list[int]) -> Sequence[int | None]:
        """See `Unstopped.reach`."""
        found: list[int | None] = []
        counted, last = self.counted, len(self.begins) - 1
        while len(found) < len(needs):
            # The stretch by the end of which the next is reached, its last instant included; what else is.
            place = bisect_left(counted, needs[len(found)], 1) - 1
            reached = len(needs) if place == last else bisect_right(needs, counted[place + 1])
            spans = [need - counted[place] for need in needs[len(found) : reached]]
            shift, floor = self.shifts[place], self.floors[place]
            found.extend(
                None if instant is None else max(instant + shift, floor)
                for instant in _advance(calendar, self.begins[place], spans)
            )
        return found


def _by_business_time(calendar: BusinessTime, start: int, stops: tuple[Stop, ...], until: int) -> Counted:
    """Open time inside stops does not count (C2)."""
    known = (len(stops) - 1) // BLOCK * BLOCK
    begins, counted = map(list, _counted_to(calendar, start, stops[:known])) if known else ([start], [0])
    _count_on(calendar, begins, counted, stops[known:], until)
    stopped = stops[-1].to_ms is None
    return Counted(begins, counted, [0] * len(begins), begins, [stop.from_ms for stop in stops], stopped)


@lru_cache(maxsize=32)
def _counted_to(calendar: BusinessTime, start: int, stops: tuple[Stop, ...]) -> tuple[list[int], list[int]]:
    """The beginnings, and what was counted before each, of the stretches up to many stops that are over."""
    begins, counted = [start], [0]
    _count_on(calendar, begins, counted, stops, start)
    return begins, counted


def _count_on(
    calendar: BusinessTime, begins: list[int], counted: list[int], stops: tuple[Stop, ...], until: int
) -> None:
    for stop in stops:
        counted.append(counted[-1] + calendar.open_between(begins[-1], stop.from_ms))
        begins.append(max(until, stop.from_ms) if stop.to_ms is None else stop.to_ms)


def _by_wall_clock(calendar: BusinessTime, start: int, stops: tuple[Stop, ...], until: int) -> Counted:
    """Each stop moves what is ahead by its wall-clock length, floored to minutes (PauseAccounting)."""
    begins, counted, shifts, floors, stopped = [start], [0], [0], [start], False
    for stop in stops:
        counted.append(counted[-1] + calendar.open_between(begins[-1], stop.from_ms - shifts[-1]))
        stopped = stop.to_ms is None
        resumed = max(until, stop.from_ms) if stop.to_ms is None else stop.to_ms
        begins.append(stop.from_ms - shifts[-1])
        shifts.append(shifts[-1] + (resumed - stop.from_ms) // MINUTE_MS * MINUTE_MS)
        floors.append(resumed)
    return Counted(begins, counted, shifts, floors, [stop.from_ms for stop in stops], stopped)


STRETCHES: Final[dict[int, Callable[[BusinessTime, int, tuple[Stop, ...], int], Counted]]] = {
    PauseAccounting.BUSINESS_TIME: _by_business_time,
    PauseAccounting.ALGA_WALL_CLOCK: _by_wall_clock,
}


def _advance(calendar: BusinessTime, start: int, spans: list[int]) -> Sequence[int | None]:
    try:
        return calendar.advance_many(start, spans)
    except DeadlineOutOfRange:
        if len(spans) == 1:
            return [None]
        return [instant for span in spans for instant in _advance(calendar, start, [span])]
