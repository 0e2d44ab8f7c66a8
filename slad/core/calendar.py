"""Compiled schedules: open time between two instants, and its inverse, at a cost that no span changes (B7).

`open_between` and `advance` are differences and inverses of one running total, the open time before an
instant. On the local time line `slad.core.openhours` knows it. A zone's clocks turn it into a total over UTC
(B5): where they jump from local L1 to L2, time goes on, so what lies between, skipped or repeated, is taken
out of the total from then on. These corrections are running totals too, kept for the range of instants that
was ever asked for.

All instants are UTC epoch milliseconds, all spans are milliseconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Final, NamedTuple

from slad.core.civil import EPOCH_DAY, date_of, weekday
from slad.core.errors import DeadlineOutOfRange
from slad.core.instants import DAY_MS, MAX_INSTANT_MS
from slad.core.openhours import HOLIDAY, Week, without_holidays
from slad.core.schedule import Schedule
from slad.core.zones import Period, load_zone


class Segment(NamedTuple):
    """A stretch [from_ms, to_ms) that is open throughout, or closed for one cause.

    `cause` is for people: "" if open, else "weekend", "outside business hours", "holiday" or
    "holiday: Christmas Day".
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


_EPOCH_MS: Final = EPOCH_DAY * DAY_MS
"""From day 0, where local time is counted from, to the epoch."""


class _Range(NamedTuple):
    """Some of the zone's periods, whole and in order, and the running total at the start of each.

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


NEAR_DAYS: Final = 64
"""So many days are laid out in stretches at once; it takes some µs a day."""

NEAR_BEFORE_DAYS: Final = 16
"""How many of them lie before the instant that was asked for."""

NEAR_AFTER: Final = 128
"""Questions outside the days that are laid out, after which others are: most are about now."""


class _Near(NamedTuple):
    """The open stretches of some weeks in order, with the open time before each: an answer is one bisection.

    Where the total is 0 is arbitrary, as with `_Range`.
    """

    starts: list[int]
    ends: list[int]
    totals: list[int]
    from_ms: int
    to_ms: int
    end_total: int


LONG_PERIODS: Final = 256
"""A range of more periods, two a year where clocks are put forward and back, is a long one."""

MOST_LONG_RANGES: Final = 8
"""Calendars that have a long range at a time: one up to the year 9999 is 2.7 MB, and half a second's work."""

_with_long_ranges: Final[deque[_BusinessHours]] = deque()
"""The one that has had it longest first."""


class _BusinessHours(Calendar):
    """Weekly windows in a zone, minus holidays."""

    __slots__ = ("_far_questions", "_hours", "_near", "_range", "_schedule", "_week", "_zone", "timezone")

    def __init__(self, schedule: Schedule) -> None:
        self.timezone = schedule.timezone
        self._schedule = schedule
        self._zone = load_zone(schedule.timezone)
        self._week = Week(schedule.windows)
        self._hours = without_holidays(self._week, schedule.holidays)
        # Never changed, only replaced or given up: threads that do so at once merely repeat some work.
        self._range: _Range | None = None
        self._near: _Near | None = None
        self._far_questions = 0

    def open_between(self, from_ms: int, to_ms: int) -> int:
        if to_ms <= from_ms:
            return 0
        near = self._near
        if near is not None and near.from_ms <= from_ms and to_ms < near.to_ms:
            return _near_total(near, to_ms) - _near_total(near, from_ms)
        known = self._covering(from_ms, to_ms)
        return self._total(known, to_ms) - self._total(known, from_ms)

    def advance(self, start_ms: int, open_ms: int) -> int:
        if open_ms <= 0:
            return self.advance_many(start_ms, (open_ms,))[0]
        known = self._covering(start_ms, start_ms)
        total = self._total(known, start_ms) + open_ms
        if total > known.end_total:
            known = self._reaching(known, total)
        at_ms, _ = self._instant(known, total)
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
            start_total = _near_total(near, start_ms)
            if start_total + open_ms[-1] <= near.end_total:
                return _advance_near(near, start_ms, start_total, open_ms)
        return self._advance_far(start_ms, open_ms)

    def _advance_far(self, start_ms: int, open_ms: Sequence[int]) -> list[int]:
        known = self._covering(start_ms, start_ms)
        start_total = self._total(known, start_ms)
        if start_total + open_ms[-1] > known.end_total:
            known = self._reaching(known, start_total + open_ms[-1])
        instants = []
        at_ms = start_ms
        at_span = open_until = 0
        for span_ms in open_ms:
            if span_ms <= open_until:  # in the same open stretch as the one before, or the same span
                at_ms += span_ms - at_span
            else:
                at_ms, room_ms = self._instant(known, start_total + span_ms)
                open_until = span_ms + room_ms
            at_span = span_ms
            instants.append(at_ms)
        if at_ms > MAX_INSTANT_MS:
            raise _out_of_range(start_ms, open_ms[-1])
        return instants

    def _nearer(self, at_ms: int) -> _Near | None:
        """The days around an instant laid out, if that has been asked for often enough to be worth it."""
        self._far_questions += 1
        if self._far_questions < NEAR_AFTER:
            return None
        self._far_questions = 0
        from_ms = at_ms - NEAR_BEFORE_DAYS * DAY_MS
        to_ms = min(from_ms + NEAR_DAYS * DAY_MS, MAX_INSTANT_MS)
        starts: list[int] = []
        ends: list[int] = []
        totals: list[int] = []
        total = 0
        for start, end in self._stretches(from_ms, to_ms):
            if ends and ends[-1] == start:
                ends[-1] = end
            else:
                starts.append(start)
                ends.append(end)
                totals.append(total)
            total += end - start
        self._near = _Near(starts, ends, totals, from_ms, to_ms, total)
        return self._near

    def _stretches(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
        """The open stretches of [from_ms, to_ms), in order; they may touch."""
        for low_ms, high_ms, shift in self._days(from_ms, to_ms):
            day = (low_ms + shift) // DAY_MS
            midnight_ms = day * DAY_MS - shift
            for start, end in self._hours.upto(day)[1].stretches():
                one, other = max(low_ms, midnight_ms + start), min(high_ms, midnight_ms + end)
                if one < other:
                    yield one, other

    def _days(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int, int]]:
        """[from_ms, to_ms) in parts of one local date and one offset each: (from, to, shift)."""
        for start_ms, end_ms, offset_ms in self._zone.periods(from_ms):
            low_ms, high_ms = max(from_ms, start_ms), min(to_ms, end_ms)
            if low_ms >= high_ms:
                return
            shift = offset_ms + _EPOCH_MS
            for day in range((low_ms + shift) // DAY_MS, (high_ms + shift - 1) // DAY_MS + 1):
                midnight_ms = day * DAY_MS - shift
                yield max(low_ms, midnight_ms), min(high_ms, midnight_ms + DAY_MS), shift

    def is_open(self, at_ms: int) -> bool:
        known = self._covering(at_ms, at_ms)
        period = bisect_right(known.starts, at_ms) - 1
        day, time_ms = divmod(at_ms + known.shifts[period], DAY_MS)
        return self._hours.upto(day)[1].contains(time_ms)

    def _local_total(self, local_ms: int) -> int:
        day, time_ms = divmod(local_ms, DAY_MS)
        total, layout = self._hours.upto(day)
        return total + layout.before(time_ms)

    def _total(self, known: _Range, at_ms: int) -> int:
        period = bisect_right(known.starts, at_ms) - 1
        return self._local_total(at_ms + known.shifts[period]) - known.corrections[period]

    def _instant(self, known: _Range, total: int) -> tuple[int, int]:
        """The first instant at which the running total is `total`, and for how long it is open from then."""
        # The last period that starts with less: of a repeated hour, the pass in which the total is reached.
        period = bisect_left(known.totals, total) - 1
        day, rest_ms, layout = self._hours.reach(total + known.corrections[period])
        time_ms, room_ms = layout.at(rest_ms)
        at_ms = day * DAY_MS + time_ms - known.shifts[period]
        next_period = period + 1
        until_ms = known.starts[next_period] if next_period < len(known.starts) else known.end_ms
        return at_ms, room_ms if at_ms + room_ms < until_ms else until_ms - at_ms

    # --- the range ---

    def _covering(self, from_ms: int, to_ms: int) -> _Range:
        """A range with both instants in it."""
        known = self._range
        if known is None:
            known = self._keep(self._walk(self._zone.periods(from_ms), 0, until_ms=to_ms))
        if from_ms < known.starts[0]:
            head = self._walk(self._zone.periods(from_ms), 0, until_ms=known.starts[0] - 1)
            known = self._keep(_joined(head, known))
        if to_ms >= known.end_ms:
            tail = self._walk(self._zone.periods(known.end_ms), known.end_total, until_ms=to_ms)
            known = self._keep(_joined(known, tail))
        return known

    def _reaching(self, known: _Range, total: int) -> _Range:
        """`known`, made longer until it reaches `total` or the end of year 9999."""
        if known.end_ms <= MAX_INSTANT_MS:
            tail = self._walk(self._zone.periods(known.end_ms), known.end_total, until_total=total)
            known = self._keep(_joined(known, tail))
        return known

    def _keep(self, known: _Range) -> _Range:
        """Keeps a range for the next question; a long one as one of few."""
        self._range = known
        if len(known.starts) > LONG_PERIODS and self not in _with_long_ranges:
            if len(_with_long_ranges) >= MOST_LONG_RANGES:
                _with_long_ranges.popleft()._range = None
            _with_long_ranges.append(self)
        return known

    def _walk(
        self,
        periods: Iterable[Period],
        total: int,
        *,
        until_ms: int = MAX_INSTANT_MS,
        until_total: int | None = None,
    ) -> _Range:
        """The range over `periods`, from a running total on, up to the period that passes a limit."""
        starts: list[int] = []
        shifts: list[int] = []
        corrections: list[int] = []
        totals: list[int] = []
        end_ms = 0
        for start_ms, end_ms, offset_ms in periods:
            shift = offset_ms + _EPOCH_MS
            correction = self._local_total(start_ms + shift) - total
            starts.append(start_ms)
            shifts.append(shift)
            corrections.append(correction)
            totals.append(total)
            total = self._local_total(end_ms + shift) - correction
            if end_ms > until_ms or (until_total is not None and total >= until_total):
                break
        return _Range(starts, shifts, corrections, totals, end_ms, total)

    # --- segments ---

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
        causes = _Causes(self._schedule)
        for low_ms, high_ms, shift in self._days(from_ms, to_ms):
            day = (low_ms + shift) // DAY_MS
            midnight_ms = day * DAY_MS - shift
            for start, end, is_open, cause in self._day_parts(day, causes):
                one, other = max(low_ms, midnight_ms + start), min(high_ms, midnight_ms + end)
                if one < other:
                    yield Segment(one, other, is_open, cause)

    def _day_parts(self, day: int, causes: _Causes) -> Iterator[tuple[int, int, bool, str]]:
        layout = self._hours.upto(day)[1]
        if layout is HOLIDAY:
            yield 0, DAY_MS, False, causes.of_holiday(day)
            return
        usual = self._week.layouts[day % 7]
        stretches = {*layout.stretches(), *usual.stretches()}
        for start, end in pairwise(sorted({0, DAY_MS, *chain.from_iterable(stretches)})):
            if layout.contains(start):
                yield start, end, True, ""
            elif usual.contains(start):  # a window of the holiday before would have lasted until now (B3)
                yield start, end, False, causes.of_holiday(day - 1)
            else:
                yield start, end, False, causes.of_closed_hours(day)


def _near_total(near: _Near, at_ms: int) -> int:
    place = bisect_right(near.starts, at_ms) - 1
    if place < 0:
        return 0
    end_ms = near.ends[place]
    return near.totals[place] + (at_ms if at_ms < end_ms else end_ms) - near.starts[place]


def _advance_near(near: _Near, start_ms: int, start_total: int, open_ms: Sequence[int]) -> list[int]:
    starts, totals = near.starts, near.totals
    instants = []
    place, after = -1, 0
    for span_ms in open_ms:
        total = start_total + span_ms
        if place < 0 or total > after:
            # The last stretch before which less was open: of closing time and the next opening the former.
            place = bisect_left(totals, total) - 1
            after = totals[place + 1] if place + 1 < len(totals) else near.end_total
        instants.append(starts[place] + total - totals[place] if span_ms else start_ms)
    return instants


def _joined(one: _Range, other: _Range) -> _Range:
    """Two ranges of which the second starts where the first ends; the first one's totals are made to fit."""
    assert one.end_ms == other.starts[0]
    lift = other.totals[0] - one.end_total
    return _Range(
        one.starts + other.starts,
        one.shifts + other.shifts,
        [correction - lift for correction in one.corrections] + other.corrections,
        [total + lift for total in one.totals] + other.totals,
        other.end_ms,
        other.end_total,
    )


class _Causes:
    """Why a schedule is closed, in words for people."""

    def __init__(self, schedule: Schedule) -> None:
        self._window_days = {window.day_of_week for window in schedule.windows}
        self._one_off: dict[int, str] = {}
        self._recurring: dict[tuple[int, int], str] = {}
        for holiday in reversed(schedule.holidays):  # of several names for a date, the first counts
            if holiday.name and holiday.is_recurring:
                self._recurring[holiday.month, holiday.day] = holiday.name
            elif holiday.name:
                self._one_off[holiday.day_number] = holiday.name

    def of_holiday(self, day: int) -> str:
        name = self._one_off.get(day) or self._recurring.get(date_of(day)[1:])
        return f"holiday: {name}" if name else "holiday"

    def of_closed_hours(self, day: int) -> str:
        day_of_week = weekday(day)
        is_weekend = day_of_week in (0, 6) and day_of_week not in self._window_days
        return "weekend" if is_weekend else "outside business hours"
