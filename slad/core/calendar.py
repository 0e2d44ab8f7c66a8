"""Compiled schedules: open time between two instants, and its inverse, at a cost that no span changes (B7).

`open_between` and `advance` are differences and inverses of one running total, the open time before an
instant. It is held in layers, each made from the one before it:

    slad.core.openhours    on the local time line, for ever
    slad.core.zone_totals  over UTC
    slad.core.near_weeks   for some weeks, laid out once they are asked for often

All instants are UTC epoch milliseconds, all spans are milliseconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slad.core.causes import Causes
from slad.core.errors import DeadlineOutOfRange
from slad.core.instants import DAY_MS, MAX_INSTANT_MS
from slad.core.near_weeks import NEAR_AFTER, NEAR_BEFORE_DAYS, NEAR_DAYS, NearWeeks, lay_out
from slad.core.openhours import open_hours
from slad.core.openings import Openings
from slad.core.period_totals import EPOCH_MS
from slad.core.schedule import Schedule
from slad.core.zone_totals import ZoneTotals
from slad.core.zones import load_zone


class Segment(NamedTuple):
    """A stretch [from_ms, to_ms) that is open throughout, or closed for one cause.

    `cause` is for people: "" if open, else such as "weekend", "outside business hours", "holiday: Christmas
    Day" or "half day: Christmas Eve".
    """

    from_ms: int
    to_ms: int
    is_open: bool
    cause: str


class Calendar(ABC):
    """A schedule made ready to answer. Safe to share between threads; never gives a wrong answer for want
    of a search limit (B6)."""

    __slots__ = ()

    timezone: str
    """The IANA zone; "" for one that is always open."""

    @abstractmethod
    def open_between(self, from_ms: int, to_ms: int) -> int:
        """The open time in [from_ms, to_ms); 0 if that is empty."""

    def advance(self, start_ms: int, open_ms: int) -> int:
        """The first instant, not before `start_ms`, at which `open_ms` were open since then.

        If the last of it ends at closing time, that is closing time, not the next opening. Raises
        `DeadlineOutOfRange` if it lies past year 9999 (B6).
        """
        return self.advance_many(start_ms, (open_ms,))[0]

    @abstractmethod
    def advance_many(self, start_ms: int, open_ms: Sequence[int]) -> list[int]:
        """`advance` for several spans in ascending order, at less cost than one by one."""

    @abstractmethod
    def is_open(self, at_ms: int) -> bool:
        """Whether time counts at an instant (B3)."""

    @abstractmethod
    def segments(self, from_ms: int, to_ms: int) -> Iterator[Segment]:
        """The open and closed stretches of [from_ms, to_ms), in order and without gaps.

        Neighbours differ. Unlike all else here, this costs more the longer the span: some µs a date.
        """


def compile_calendar(schedule: Schedule) -> Calendar:
    """The calendar of a schedule. Raises ValueError for one that `build_schedule` would not have made."""
    return _AlwaysOpen() if schedule.is_24x7 else _BusinessHours(schedule)


class _AlwaysOpen(Calendar):
    """24x7 (B1)."""

    __slots__ = ()

    timezone = ""

    def open_between(self, from_ms: int, to_ms: int) -> int:
        return max(0, to_ms - from_ms)

    def advance_many(self, start_ms: int, open_ms: Sequence[int]) -> list[int]:
        _check_spans(open_ms)
        instants = [start_ms + span_ms for span_ms in open_ms]
        if instants and instants[-1] > MAX_INSTANT_MS:
            raise _out_of_range(start_ms, open_ms[-1])
        return instants

    def is_open(self, at_ms: int) -> bool:
        return True

    def segments(self, from_ms: int, to_ms: int) -> Iterator[Segment]:
        if from_ms < to_ms:
            yield Segment(from_ms, to_ms, True, "")


def _check_spans(open_ms: Sequence[int]) -> None:
    before = 0
    for span_ms in open_ms:
        if span_ms < before:
            raise ValueError("spans of open time must ascend from 0")
        before = span_ms


def _out_of_range(start_ms: int, open_ms: int) -> DeadlineOutOfRange:
    return DeadlineOutOfRange(f"{open_ms} ms of open time after instant {start_ms} end past year 9999")


class _BusinessHours(Calendar):
    """Weekly windows in a zone, minus holidays, as the date overrides change them."""

    __slots__ = (
        "_far_questions",
        "_hours",
        "_near",
        "_openings",
        "_schedule",
        "_totals",
        "_zone",
        "timezone",
    )

    def __init__(self, schedule: Schedule) -> None:
        self.timezone = schedule.timezone
        self._schedule = schedule
        self._zone = load_zone(schedule.timezone)
        self._openings = Openings(schedule)
        self._hours = open_hours(self._openings)
        self._totals = ZoneTotals(self._hours, self._zone)
        # Never changed, only replaced: threads that do so at once merely repeat some work.
        self._near: NearWeeks | None = None
        self._far_questions = 0

    def open_between(self, from_ms: int, to_ms: int) -> int:
        if to_ms <= from_ms:
            return 0
        near = self._near
        if near is not None and near.from_ms <= from_ms and to_ms < near.to_ms:
            return near.total(to_ms) - near.total(from_ms)
        known = self._totals.covering(from_ms, to_ms)
        return known.total(to_ms) - known.total(from_ms)

    def advance(self, start_ms: int, open_ms: int) -> int:
        if open_ms <= 0:
            return self.advance_many(start_ms, (open_ms,))[0]
        known, total = self._totals.reaching(start_ms, open_ms)
        at_ms, _ = known.instant(total + open_ms)
        if at_ms > MAX_INSTANT_MS:
            raise _out_of_range(start_ms, open_ms)
        return at_ms

    def advance_many(self, start_ms: int, open_ms: Sequence[int]) -> list[int]:
        _check_spans(open_ms)
        if not open_ms:
            return []
        near = self._near
        if near is None or not near.from_ms <= start_ms < near.to_ms:
            near = self._nearer(start_ms)
        if near is not None:
            start_total = near.total(start_ms)
            if start_total + open_ms[-1] <= near.end_total:
                return near.advance_many(start_ms, start_total, open_ms)
        return self._advance_far(start_ms, open_ms)

    def _advance_far(self, start_ms: int, open_ms: Sequence[int]) -> list[int]:
        known, start_total = self._totals.reaching(start_ms, open_ms[-1])
        instants = []
        at_ms = start_ms
        at_span = open_until = 0
        for span_ms in open_ms:
            if span_ms <= open_until:  # in the same open stretch as the one before, or the same span
                at_ms += span_ms - at_span
            else:
                at_ms, room_ms = known.instant(start_total + span_ms)
                open_until = span_ms + room_ms
            at_span = span_ms
            instants.append(at_ms)
        if at_ms > MAX_INSTANT_MS:
            raise _out_of_range(start_ms, open_ms[-1])
        return instants

    def is_open(self, at_ms: int) -> bool:
        day, time_ms = divmod(at_ms + self._zone.offset_at(at_ms) + EPOCH_MS, DAY_MS)
        return self._hours.upto(day)[1].contains(time_ms)

    def segments(self, from_ms: int, to_ms: int) -> Iterator[Segment]:
        pending: Segment | None = None
        for part in self._parts(from_ms, to_ms):
            if pending is None:
                pending = part
            elif (pending.is_open, pending.cause) == (part.is_open, part.cause):
                pending = pending._replace(to_ms=part.to_ms)
            else:
                yield pending
                pending = part
        if pending is not None:
            yield pending

    def _parts(self, from_ms: int, to_ms: int) -> Iterator[Segment]:
        """The segments, cut at least at every local midnight."""
        causes = Causes(self._schedule, self._openings)
        for day, low_ms, high_ms, midnight_ms in self._days(from_ms, to_ms):
            for start, end, is_open, cause in causes.parts(day, self._hours.upto(day)[1]):
                one, other = max(low_ms, midnight_ms + start), min(high_ms, midnight_ms + end)
                if one < other:
                    yield Segment(one, other, is_open, cause)

    def _nearer(self, at_ms: int) -> NearWeeks | None:
        """The weeks around an instant laid out, if that has been asked for often enough to be worth it."""
        self._far_questions += 1
        if self._far_questions < NEAR_AFTER:
            return None
        self._far_questions = 0
        from_ms = at_ms - NEAR_BEFORE_DAYS * DAY_MS
        to_ms = min(from_ms + NEAR_DAYS * DAY_MS, MAX_INSTANT_MS)
        near = self._near = lay_out(self._stretches(from_ms, to_ms), from_ms, to_ms)
        return near

    def _stretches(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
        """The open stretches of [from_ms, to_ms), in order; they may touch."""
        for day, low_ms, high_ms, midnight_ms in self._days(from_ms, to_ms):
            for start, end in self._hours.upto(day)[1].stretches():
                one, other = max(low_ms, midnight_ms + start), min(high_ms, midnight_ms + end)
                if one < other:
                    yield one, other

    def _days(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int, int, int]]:
        """[from_ms, to_ms) in parts of one local date and one offset each: (day, from, to, its midnight)."""
        for start_ms, end_ms, offset_ms in self._zone.periods(from_ms):
            low_ms, high_ms = max(from_ms, start_ms), min(to_ms, end_ms)
            if low_ms >= high_ms:
                return
            shift = offset_ms + EPOCH_MS
            for day in range((low_ms + shift) // DAY_MS, (high_ms + shift - 1) // DAY_MS + 1):
                midnight_ms = day * DAY_MS - shift
                yield day, max(low_ms, midnight_ms), min(high_ms, midnight_ms + DAY_MS), midnight_ms
