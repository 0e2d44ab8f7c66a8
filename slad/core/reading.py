"""Reading a clock: elapsed time and the instants of its thresholds, derived from facts (C2, C3, C6)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from slad.core.errors import DeadlineOutOfRange
from slad.core.events import Phase
from slad.core.facts import History, Stop
from slad.core.instants import MINUTE_MS
from slad.core.terms import ThresholdSpec
from slad.core.tracking import PauseAccounting, Tracking


class BusinessTime(Protocol):
    """What a compiled calendar offers (see `slad.core.calendar`). UTC epoch ms, open ms."""

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


class Mark(NamedTuple):
    """One threshold of a clock and the instant at which it is reached; None: past year 9999."""

    spec: ThresholdSpec
    instant: int | None


class ClockReading(NamedTuple):
    """One clock as at an instant `now`. All instants in UTC epoch ms, spans in ms."""

    phase: Phase
    target_ms: int
    elapsed_ms: int
    specs: tuple[ThresholdSpec, ...]
    """Its thresholds, ascending."""
    instants: Sequence[int | None]
    """Where they fall; for a stopped clock, were it let run from `now` on. None: past year 9999."""
    due_at: int | None
    """The instant of 100 %."""
    closed_at: int | None
    """When the obligation was fulfilled, or the tracking cancelled."""
    completed_at: int | None
    reported_met: bool | None
    now: int
    halted_at: int | None
    """When the clock closed, or stopped for a pause that is on; nothing after it is reached by time alone."""

    @property
    def marks(self) -> Iterator[Mark]:
        """Each threshold with its instant, ascending."""
        return map(Mark, self.specs, self.instants)

    @property
    def running(self) -> bool:
        """Whether time can still reach a mark: open, and not stopped."""
        return self.halted_at is None

    @property
    def limit(self) -> int:
        """Crossings up to and including this instant have happened."""
        return self.now if self.halted_at is None else min(self.now, self.halted_at)

    @property
    def breached_at(self) -> int | None:
        """The instant of 100 %, if it has been reached (C6)."""
        due = self.due_at
        return due if due is not None and due <= self.limit else None

    @property
    def met(self) -> bool | None:
        """Completed at or before the 100 % instant (M3); None while open or when cancelled."""
        if self.completed_at is None:
            return None
        due = self.due_at
        return due is None or self.completed_at <= due

    def has_happened(self, instant: int | None) -> bool:
        """Whether a crossing at `instant` is true as of this reading."""
        return instant is not None and instant <= self.limit

    def has_counted(self, percent: int) -> bool:
        """Whether at least that percent of the target has elapsed."""
        return self.elapsed_ms * 100 >= self.target_ms * percent

    def still_holds(self, instant: int | None, scheduled_at: int, known: int) -> bool:
        """Whether a crossing announced for `scheduled_at`, and by the facts now at `instant`, is to stand.

        `known` is how far slad's clock is known to have come. A crossing up to there stands, though it may be
        ahead of now: the wall clock was set back (C5).
        """
        if instant is None or (self.halted_at is not None and instant > self.halted_at):
            return False
        return instant <= known or instant == scheduled_at


class Reading(NamedTuple):
    """Both clocks of a tracking as at `now`; a phase without a target has none (C1)."""

    now: int
    history: History
    clocks: tuple[ClockReading, ...]
    timezone: str
    """The zone of the schedule; "" when every hour counts."""

    def clock(self, phase: Phase) -> ClockReading | None:
        """The clock of `phase`, if it has one."""
        for clock in self.clocks:
            if clock.phase is phase:
                return clock
        return None


def read(tracking: Tracking, history: History, calendar: BusinessTime, now: int) -> Reading:
    """Both clocks of `tracking` as at `now` (UTC epoch ms), given the `history` of its facts."""
    terms = tracking.terms
    specs, breach = terms.thresholds
    clocks: list[ClockReading] = []
    run: _Run | None = None
    for phase, target_ms, completed_at, reported in (
        (Phase.RESPONSE, terms.response_ms, history.response_at, history.response_reported),
        (Phase.RESOLUTION, terms.resolution_ms, history.resolution_at, history.resolution_reported),
    ):
        if not target_ms:
            continue
        closed_at = completed_at if completed_at is not None else history.ended_at
        # Clocks that are both open, or closed as one, have run alike.
        if run is None or run.closed_at != closed_at:
            run = _run(tracking, history.stops, calendar, now, closed_at)
        # Target minutes are whole, so that percent of them is a whole number of ms (C3).
        instants = run.stretches.reach(calendar, [target_ms * spec.percent // 100 for spec in specs])
        clocks.append(
            ClockReading(
                phase,
                target_ms,
                run.elapsed_ms,
                specs,
                instants,
                instants[breach],
                closed_at,
                completed_at,
                reported,
                now,
                run.halted_at,
            )
        )
    return Reading(now, history, tuple(clocks), calendar.timezone)


class _Run(NamedTuple):
    """How a clock that closed at `closed_at` has run; None: it is open."""

    closed_at: int | None
    stretches: _Unstopped | _Counted
    elapsed_ms: int
    halted_at: int | None


def _run(
    tracking: Tracking, stops: tuple[Stop, ...], calendar: BusinessTime, now: int, closed_at: int | None
) -> _Run:
    until = now
    if closed_at is not None:
        until, stops = closed_at, _stops_before(stops, closed_at)
    if not stops:
        start = tracking.started_at
        return _Run(closed_at, _Unstopped(start), calendar.open_between(start, until), closed_at)
    stopped_at = stops[-1].from_ms if stops and stops[-1].to_ms is None else None
    stretches = _STRETCHES[tracking.accounting](calendar, tracking.started_at, stops, until)
    halted_at = closed_at if stopped_at is None else stopped_at
    return _Run(closed_at, stretches, stretches.elapsed(calendar, until), halted_at)


def _stops_before(stops: tuple[Stop, ...], closed_at: int) -> tuple[Stop, ...]:
    """The stops that begin before `closed_at`; one that lasts beyond it is still running there."""
    before = [stop for stop in stops if stop.from_ms < closed_at]
    if before and before[-1].to_ms is not None and before[-1].to_ms > closed_at:
        before[-1] = before[-1]._replace(to_ms=None)
    return tuple(before)


class _Unstopped(NamedTuple):
    """The one stretch of a clock that was never stopped: most are."""

    begin: int

    def reach(self, calendar: BusinessTime, needs: list[int]) -> Sequence[int | None]:
        """The instants at which each of the ascending `needs` of open ms has been counted."""
        return _advance(calendar, self.begin, needs)


class _Counted(NamedTuple):
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

    def elapsed(self, calendar: BusinessTime, until: int) -> int:
        place = bisect_left(self.ends, until)
        if self.stopped and place == len(self.ends):
            return self.counted[-1]
        return self.counted[place] + calendar.open_between(self.begins[place], until - self.shifts[place])

    def reach(self, calendar: BusinessTime, needs: list[int]) -> Sequence[int | None]:
        """See `_Unstopped.reach`."""
        found: list[int | None] = []
        last = len(self.begins) - 1
        for place, before in enumerate(self.counted):
            # What is reached by the end of this stretch, its last instant included.
            reached = len(needs) if place == last else bisect_right(needs, self.counted[place + 1])
            spans = [need - before for need in needs[len(found) : reached]]
            if spans:
                shift, floor = self.shifts[place], self.floors[place]
                found.extend(
                    None if instant is None else max(instant + shift, floor)
                    for instant in _advance(calendar, self.begins[place], spans)
                )
        return found


def _by_business_time(calendar: BusinessTime, start: int, stops: tuple[Stop, ...], until: int) -> _Counted:
    """Open time inside stops does not count (C2)."""
    begins, counted, stopped = [start], [0], False
    for stop in stops:
        counted.append(counted[-1] + calendar.open_between(begins[-1], stop.from_ms))
        stopped = stop.to_ms is None
        begins.append(max(until, stop.from_ms) if stop.to_ms is None else stop.to_ms)
    return _Counted(begins, counted, [0] * len(begins), begins, [stop.from_ms for stop in stops], stopped)


def _by_wall_clock(calendar: BusinessTime, start: int, stops: tuple[Stop, ...], until: int) -> _Counted:
    """Each stop moves what is ahead by its wall-clock length, floored to minutes (PauseAccounting)."""
    begins, counted, shifts, floors, stopped = [start], [0], [0], [start], False
    for stop in stops:
        counted.append(counted[-1] + calendar.open_between(begins[-1], stop.from_ms - shifts[-1]))
        stopped = stop.to_ms is None
        resumed = max(until, stop.from_ms) if stop.to_ms is None else stop.to_ms
        begins.append(stop.from_ms - shifts[-1])
        shifts.append(shifts[-1] + (resumed - stop.from_ms) // MINUTE_MS * MINUTE_MS)
        floors.append(resumed)
    return _Counted(begins, counted, shifts, floors, [stop.from_ms for stop in stops], stopped)


_STRETCHES: Final[dict[int, Callable[[BusinessTime, int, tuple[Stop, ...], int], _Counted]]] = {
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
