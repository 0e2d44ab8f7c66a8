"""Reading a clock: elapsed time and the instants of its thresholds, derived from facts (C2, C3, C6)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import msgspec

from slad.core.cycles import Cycle, cycles
from slad.core.errors import DeadlineOutOfRange
from slad.core.events import PHASES, CycleRef, Phase
from slad.core.history import BLOCK, Completion, History, Stop, heeded
from slad.core.instants import MINUTE_MS
from slad.core.terms import ClockTerms, ThresholdSpec
from slad.core.tracking import CycleKey, PauseAccounting, Tracking


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


Calendars = Callable[[int], BusinessTime]
"""The compiled calendar of a schedule, by its key."""


class Mark(NamedTuple):
    """One threshold of a clock and the instant at which it is reached; None: past year 9999."""

    spec: ThresholdSpec
    instant: int | None


class ClockReading(msgspec.Struct, frozen=True):
    """One cycle of one clock as at an instant `now`. All instants in UTC epoch ms, spans in ms."""

    terms: ClockTerms
    number: int
    """Of the cycle, from 1."""
    opened_at: int
    target_ms: int
    """Open time allowed."""
    elapsed_ms: int
    specs: tuple[ThresholdSpec, ...]
    """Its thresholds, ascending."""
    instants: Sequence[int | None]
    """Where they fall; for a stopped clock, were it let run from `now` on. None: past year 9999."""
    due_at: int | None
    """The instant of 100 %."""
    closed_at: int | None
    """When the obligation was fulfilled, or the tracking cancelled."""
    completion: Completion | None
    """What fulfilled it."""
    now: int
    halted_at: int | None
    """When the clock closed, or stopped for a pause that is on; nothing after it is reached by time alone."""
    limit: int
    """Crossings up to and including this instant have happened."""
    key: CycleKey
    """What makes it the same cycle whatever facts arrive (K4)."""

    @property
    def name(self) -> str:
        """The name of its clock."""
        return self.terms.name

    @property
    def phase(self) -> Phase | None:
        """Its clock as one of the two that need no name; None for another."""
        return PHASES.get(self.terms.name)

    @property
    def ref(self) -> CycleRef:
        """What events call it."""
        return CycleRef(self.terms.name, self.number, self.opened_at)

    @property
    def completed_at(self) -> int | None:
        """When the obligation was fulfilled; None while it is open, and for what the cancel closed."""
        return self.completion.at if self.completion and self.completion.judged else None

    @property
    def reported_met(self) -> bool | None:
        """The caller's own verdict, if it sent one."""
        return self.completion.reported if self.completion else None

    @property
    def marks(self) -> Iterator[Mark]:
        """Each threshold with its instant, ascending."""
        return map(Mark, self.specs, self.instants)

    @property
    def running(self) -> bool:
        """Whether time can still reach a mark: open, and not stopped."""
        return self.halted_at is None

    @property
    def is_paused(self) -> bool:
        """Whether a pause that it heeds is on."""
        return self.closed_at is None and self.halted_at is not None

    @property
    def reaches_more(self) -> bool:
        """Whether time can still reach a mark: the clock runs, or stops at an instant ahead of now (M6)."""
        return self.halted_at is None or self.halted_at > self.now

    @property
    def breached_at(self) -> int | None:
        """The instant of 100 %, if it has been reached (C6)."""
        due = self.due_at
        return due if due is not None and due <= self.limit else None

    @property
    def met(self) -> bool | None:
        """Completed at or before the 100 % instant (M3, K3); None while open, when cancelled or discarded."""
        completion, due = self.completion, self.due_at
        if completion is None or not completion.judged:
            return None
        return due is None or completion.at <= due

    def has_happened(self, instant: int | None) -> bool:
        """Whether a crossing at `instant` is true as of this reading."""
        return instant is not None and instant <= self.limit

    def has_counted(self, percent: int) -> bool:
        """Whether so much of the target has counted by now."""
        return self.elapsed_ms * 100 >= self.target_ms * percent

    def still_holds(self, instant: int | None, scheduled_at: int, known: int) -> bool:
        """Whether a crossing announced for `scheduled_at`, and by the facts now at `instant`, is to stand.

        `known` is how far slad's clock is known to have come. A crossing up to there stands, though it may be
        ahead of now: the wall clock was set back (C5).
        """
        if instant is None or (self.halted_at is not None and instant > self.halted_at):
            return False
        return instant <= known or instant == scheduled_at


class Reading(msgspec.Struct, frozen=True):
    """Every cycle of every clock of a tracking as at `now`, clock by clock, in the order of their opening."""

    now: int
    history: History
    clocks: tuple[ClockReading, ...]
    unnamed: tuple[ClockReading, ...]
    """Those of them that are response or resolution (C1)."""
    timezone: str
    """The zone of the tracking's schedule; "" when every hour counts."""

    @property
    def open(self) -> list[ClockReading]:
        """The cycles that are open, paused ones included."""
        return [clock for clock in self.clocks if clock.closed_at is None]

    def clock(self, phase: Phase) -> ClockReading | None:
        """The clock of `phase`, if it has a target (C1)."""
        for clock in self.unnamed:
            if clock.terms.kind == phase:
                return clock
        return None

    def verdict(self, name: str) -> bool | None:
        """Whether the last closed cycle of a clock was met; None when it has none, or none with a verdict."""
        closed = [cycle for cycle in self.cycles(name) if cycle.closed_at is not None]
        return closed[-1].met if closed else None

    def cycles(self, name: str) -> list[ClockReading]:
        """The cycles of the clock of that name."""
        return [clock for clock in self.clocks if clock.terms.name == name]


def read(tracking: Tracking, history: History, calendars: Calendars, now: int) -> Reading:
    """Every cycle of `tracking` as at `now` (UTC epoch ms), given the `history` of its facts."""
    terms = tracking.terms
    found: list[ClockReading] = []
    last: tuple[Cycle, ClockTerms] | None = None
    run: _Run | None = None
    its_own = calendars(terms.schedule_key)
    for clock, specs, needs, breach, key in terms.promises:
        calendar = its_own if clock.schedule_key == terms.schedule_key else calendars(clock.schedule_key)
        of_clock = cycles(clock, tracking.started_at, history, has_response_clock=terms.response_ms > 0)
        for number, cycle in enumerate(of_clock, start=1):
            # Cycles that opened, stopped and closed together have run alike.
            if run is None or last is None or not _ran_alike(*last, cycle, clock):
                last = cycle, clock
                run = _run(tracking, history, clock, cycle, calendar, now)
            instants = run.stretches.reach(calendar, needs)
            found.append(
                ClockReading(
                    clock,
                    number,
                    cycle.opened_at,
                    clock.target_ms,
                    run.elapsed_ms,
                    specs,
                    instants,
                    instants[breach],
                    cycle.closed_at,
                    cycle.completion,
                    now,
                    run.halted_at,
                    now if run.halted_at is None or now < run.halted_at else run.halted_at,
                    key or (clock.name, cycle.opened_at),
                )
            )
    clocks = tuple(found)
    unnamed = tuple(clock for clock in clocks if clock.terms.is_unnamed) if terms.named else clocks
    return Reading(now, history, clocks, unnamed, its_own.timezone)


def counted_until(
    tracking: Tracking, history: History, clock: ClockTerms, calendar: BusinessTime, now: int, until: int
) -> int:
    """The open ms that a clock of one cycle will have counted by `until`, if nothing changes from `now` on.

    One that is paused is taken to be resumed now, as for its deadline.
    """
    (cycle,) = cycles(clock, tracking.started_at, history, has_response_clock=True)
    run = _run(tracking, history, clock, cycle, calendar, now)
    return run.stretches.elapsed(calendar, until, resumed=True)


class _Run(msgspec.Struct, frozen=True):
    """How a cycle has run."""

    stretches: _Unstopped | _Counted
    elapsed_ms: int
    halted_at: int | None


def _ran_alike(cycle: Cycle, clock: ClockTerms, other: Cycle, others: ClockTerms) -> bool:
    return (
        cycle.closed_at == other.closed_at
        and cycle.opened_at == other.opened_at
        and clock.schedule_key == others.schedule_key
        and clock.paused_by == others.paused_by
        and clock.is_unnamed == others.is_unnamed
    )


def _run(
    tracking: Tracking, history: History, clock: ClockTerms, cycle: Cycle, calendar: BusinessTime, now: int
) -> _Run:
    opened_at, closed_at = cycle.opened_at, cycle.closed_at
    until = now if closed_at is None else closed_at
    stops = history.stops
    if stops:
        stops = within(heeded(history, clock.paused_by), opened_at, closed_at)
    if not stops:
        return _Run(_Unstopped(opened_at), calendar.open_between(opened_at, until), closed_at)
    # AlgaPSA knows the two clocks that need no name, and its accounting is theirs alone (K5).
    accounting = tracking.accounting if clock.is_unnamed else PauseAccounting.BUSINESS_TIME
    stretches = _STRETCHES[accounting](calendar, opened_at, stops, until)
    halted_at = closed_at if stops[-1].to_ms is not None else stops[-1].from_ms
    return _Run(stretches, stretches.elapsed(calendar, until), halted_at)


def within(stops: tuple[Stop, ...], opened_at: int, closed_at: int | None) -> tuple[Stop, ...]:
    """The parts of `stops` that lie within a cycle; one that lasts beyond its end is still running there."""
    if stops and stops[0].from_ms < opened_at:
        stops = tuple(
            msgspec.structs.replace(stop, from_ms=max(stop.from_ms, opened_at))
            for stop in stops
            if stop.to_ms is None or stop.to_ms > opened_at
        )
    if closed_at is None:
        return stops
    before = [stop for stop in stops if stop.from_ms < closed_at]
    if before and (ended := before[-1].to_ms) is not None and ended > closed_at:
        before[-1] = msgspec.structs.replace(before[-1], to_ms=None)
    return tuple(before)


class _Unstopped(msgspec.Struct, frozen=True):
    """The one stretch of a clock that was never stopped: most are."""

    begin: int

    def elapsed(self, calendar: BusinessTime, until: int, *, resumed: bool = False) -> int:
        """Open ms counted until an instant; `resumed`: were it resumed now."""
        return calendar.open_between(self.begin, until)

    def reach(self, calendar: BusinessTime, needs: list[int]) -> Sequence[int | None]:
        """The instants at which each of the ascending `needs` of open ms has been counted."""
        return _advance(calendar, self.begin, needs)


class _Counted(msgspec.Struct, frozen=True):
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
        """See `_Unstopped.elapsed`."""
        place = bisect_left(self.ends, until)
        if self.stopped and place == len(self.ends) and not resumed:
            return self.counted[-1]
        return self.counted[place] + calendar.open_between(self.begins[place], until - self.shifts[place])

    def reach(self, calendar: BusinessTime, needs: list[int]) -> Sequence[int | None]:
        """See `_Unstopped.reach`."""
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


def _by_business_time(calendar: BusinessTime, start: int, stops: tuple[Stop, ...], until: int) -> _Counted:
    """Open time inside stops does not count (C2)."""
    known = (len(stops) - 1) // BLOCK * BLOCK
    begins, counted = map(list, _counted_to(calendar, start, stops[:known])) if known else ([start], [0])
    _count_on(calendar, begins, counted, stops[known:], until)
    stopped = stops[-1].to_ms is None
    return _Counted(begins, counted, [0] * len(begins), begins, [stop.from_ms for stop in stops], stopped)


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
