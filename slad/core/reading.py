"""Reading a clock: elapsed time and the instants of its thresholds, derived from facts (C2, C3, C6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from slad.core.cycles import Cycle, cycles
from slad.core.events import PHASES, CycleRef, Phase
from slad.core.history import Completion, History, Stop, heeded
from slad.core.stretches import STRETCHES, BusinessTime, Counted, Unstopped, within
from slad.core.terms import ClockTerms, ThresholdSpec
from slad.core.tracking import CycleKey, PauseAccounting, Tracking

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
    counted_ms: int
    """What of `elapsed_ms` has counted by `now`: less while the end of the cycle is ahead (M6)."""

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
        return self.counted_ms * 100 >= self.target_ms * percent

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

    def cycles(self, name: str) -> list[ClockReading]:
        """The cycles of the clock of that name."""
        return [clock for clock in self.clocks if clock.terms.name == name]


class TooManyCycles(ValueError):  # noqa: N818 - as DeadlineOutOfRange
    """The cycles of a tracking have more thresholds than the reader allows."""


CYCLE_THRESHOLDS: Final = 4
"""What a cycle counts for at least: it costs something also with fewer thresholds."""


def read(
    tracking: Tracking, history: History, calendars: Calendars, now: int, *, most: int | None = None
) -> Reading:
    """Every cycle of `tracking` as at `now` (UTC epoch ms), given the `history` of its facts.

    Raises TooManyCycles when these have more than `most` thresholds, CYCLE_THRESHOLDS each at least.
    """
    terms, thresholds = tracking.terms, 0
    found: list[ClockReading] = []
    last: tuple[Cycle, ClockTerms] | None = None
    run: _Run | None = None
    its_own = calendars(terms.schedule_key)
    for clock, specs, needs, breach, key in terms.promises:
        calendar = its_own if clock.schedule_key == terms.schedule_key else calendars(clock.schedule_key)
        stops = heeded(history, clock.paused_by) if history.stops else ()
        of_clock = cycles(clock, tracking.started_at, history, has_response_clock=terms.response_ms > 0)
        thresholds += len(of_clock) * max(CYCLE_THRESHOLDS, len(specs))
        if most is not None and thresholds > most:
            raise TooManyCycles
        for number, cycle in enumerate(of_clock, start=1):
            # Cycles that opened, stopped and closed together have run alike.
            if run is None or last is None or not _ran_alike(*last, cycle, clock):
                last = cycle, clock
                run = _run(tracking, stops, clock, cycle, calendar, now)
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
                    run.counted_ms,
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
    run = _run(tracking, heeded(history, clock.paused_by), clock, cycle, calendar, now)
    return run.stretches.elapsed(calendar, until, resumed=True)


class _Run(msgspec.Struct, frozen=True):
    """How a cycle has run."""

    stretches: Unstopped | Counted
    elapsed_ms: int
    halted_at: int | None
    counted_ms: int


def _ran_alike(cycle: Cycle, clock: ClockTerms, other: Cycle, others: ClockTerms) -> bool:
    return (
        cycle.closed_at == other.closed_at
        and cycle.opened_at == other.opened_at
        and clock.schedule_key == others.schedule_key
        and clock.paused_by == others.paused_by
        and clock.is_unnamed == others.is_unnamed
    )


def _run(
    tracking: Tracking,
    stops: tuple[Stop, ...],
    clock: ClockTerms,
    cycle: Cycle,
    calendar: BusinessTime,
    now: int,
) -> _Run:
    """How a cycle has run of a clock that heeds these `stops`."""
    opened_at, closed_at = cycle.opened_at, cycle.closed_at
    until = now if closed_at is None else closed_at
    if stops:
        stops = within(stops, opened_at, closed_at)
    if not stops:
        return _ran(Unstopped(opened_at), calendar, until, closed_at, max(opened_at, now))
    # AlgaPSA knows the two clocks that need no name, and its accounting is theirs alone (K5).
    accounting = tracking.accounting if clock.is_unnamed else PauseAccounting.BUSINESS_TIME
    stretches = STRETCHES[accounting](calendar, opened_at, stops, until)
    halted_at = closed_at if stops[-1].to_ms is not None else stops[-1].from_ms
    return _ran(stretches, calendar, until, halted_at, max(opened_at, now))


def _ran(
    stretches: Unstopped | Counted, calendar: BusinessTime, until: int, halted_at: int | None, now: int
) -> _Run:
    elapsed_ms = stretches.elapsed(calendar, until)
    counted_ms = elapsed_ms if until <= now else stretches.elapsed(calendar, now)
    return _Run(stretches, elapsed_ms, halted_at, counted_ms)
