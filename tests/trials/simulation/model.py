"""Tickets counted in minutes: slow, obvious, and with no code in common with slad's.

Everything that ever happened is kept in the order of the minutes at which it took effect, and walked through anew
for every question. Minutes count from a Monday's midnight.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from slad.core.instants import MINUTE_MS
from slad.core.terms import ClockTerms
from tests.core.naive_ticket import MINUTES_A_DAY, Announced, NaiveCycle, NaiveLife, office_open
from tests.trials.simulation.actions import EVERY_HOUR, FROM_START, NIGHTS, OFFICE, ONE_CYCLE, Promise
from tests.trials.simulation.nights import nights_open

OPEN = {
    key: [minute for minute in range(-60 * MINUTES_A_DAY, 400 * MINUTES_A_DAY) if is_open(minute)]
    for key, is_open in ((OFFICE, office_open), (NIGHTS, nights_open))
}
"""Every minute in which it is open, by the key of the schedule."""

Cycle = tuple[str, int]
"""(clock, opening)."""


class Op(NamedTuple):
    minute: int
    kind: str


@lru_cache(maxsize=1024)
def walk(promise: Promise, start: int, unjudged_response: bool, ops: tuple[Op, ...]) -> NaiveLife:
    """The life that these amount to; not to be changed."""
    life = NaiveLife(promise.terms, start, unjudged_response)
    for op in ops:
        life.obey(op.kind, op.minute)
    return life


class Firing(NamedTuple):
    minute: int
    silent: bool
    at: int
    """When it was announced."""


@dataclass
class Generation:
    promise: Promise
    start: int
    unjudged_response: bool = False
    ops: list[Op] = field(default_factory=list)
    announced: dict[Announced, Firing] = field(default_factory=dict)
    inherits: bool = False
    """It goes on with what was announced of the one before."""
    judged: int = -(10**9)
    """When an announcement was last found to be true of another minute than it was made for."""
    former: list[Promise] = field(default_factory=list)
    """Promises that were in force earlier in the present step."""

    @property
    def history(self) -> NaiveLife:
        return walk(self.promise, self.start, self.unjudged_response, tuple(self.ops))

    def life_at(self, minute: int) -> NaiveLife:
        ops = tuple(op for op in self.ops if op.minute <= minute)
        return walk(self.promise, self.start, self.unjudged_response, ops)

    def put(self, op: Op) -> None:
        self.ops.append(op)
        self.ops.sort(key=lambda one: one.minute)

    @property
    def said(self) -> Any:
        """All that a caller may know of it: a command that leaves this as it is has changed nothing."""
        life = self.history
        cycles = [(cycle, self.met(cycle, life.ended_at or 10**9)) for cycle in self.cycles]
        closings = [(one.clock.name, one.opened, one.closed, one.judged) for one in life.cycles]
        return life.life, life.ended_at, life.holds, life.owners, life.response, sorted(closings), cycles

    @property
    def latest_fact(self) -> int:
        """What the clock must not fall behind, or nothing more can be told of this ticket."""
        return max(
            [self.start, *(op.minute for op in self.ops), *(one.at for one in self.announced.values())]
        )

    def known(self, now: int) -> int:
        """How far slad's clock is known to have come; beyond `now` when it was set back (C5)."""
        return max(now, self.judged, self.latest_fact)

    @property
    def clocks(self) -> list[str]:
        """The names of all its clocks."""
        return [clock.name for clock in self.history.terms.clocks]

    @property
    def cycles(self) -> list[Cycle]:
        """Of every clock in the order of the terms, and in the order of their opening."""
        order = self.clocks
        found = [(cycle.clock.name, cycle.opened) for cycle in self.history.cycles]
        return sorted(found, key=lambda cycle: (order.index(cycle[0]), cycle[1]))

    def cycle(self, which: Cycle) -> NaiveCycle:
        return next(one for one in self.history.cycles if which in ((one.clock.name, one.opened), _same(one)))

    def percents(self, clock: ClockTerms) -> list[int]:
        notify = clock.notification_percents or self.promise.notify
        return sorted({*notify, *(percent for percent in clock.escalation_percents if percent), 100})

    def keys(self) -> list[Announced]:
        """Every threshold of every cycle."""
        found = [self.cycle(cycle) for cycle in self.cycles]
        return [(*_same(one), at) for one in found for at in self.percents(one.clock)]

    def counted(self, which: Cycle, now: int) -> list[range]:
        """The open minutes that count, as stretches; places in OPEN or minutes themselves."""
        cycle = self.cycle(which)
        limit = now if cycle.closed is None else min(now, cycle.closed)
        heeds = cycle.clock.paused_by
        found, begin = [], cycle.opened
        for from_, to, reason in sorted(self.history.holds, key=lambda hold: hold[0]):
            if reason is not None and heeds is not None and reason not in heeds:
                continue
            if begin < min(from_, limit):
                found.append(self._open(cycle.clock, begin, min(from_, limit)))
            begin = max(begin, limit if to is None else to)
        if begin < limit:
            found.append(self._open(cycle.clock, begin, limit))
        return found

    def _open(self, clock: ClockTerms, begin: int, end: int) -> range:
        if clock.schedule_key == EVERY_HOUR:
            return range(begin, end)
        open_minutes = OPEN[clock.schedule_key]
        return range(bisect_left(open_minutes, begin), bisect_left(open_minutes, end))

    def elapsed(self, which: Cycle, now: int) -> int:
        return sum(map(len, self.counted(which, now)))

    def reached(self, which: Cycle, percent: int, now: int) -> int | None:
        """The minute at which elapsed time first was that much of the target, if it was (C3)."""
        clock = self.cycle(which).clock
        need = clock.target_ms // MINUTE_MS * percent // 100
        for stretch in self.counted(which, now):
            if need <= len(stretch):
                place = stretch[need - 1]
                return (place if clock.schedule_key == EVERY_HOUR else OPEN[clock.schedule_key][place]) + 1
            need -= len(stretch)
        return None

    def met(self, which: Cycle, now: int) -> bool | None:
        cycle = self.cycle(which)
        if cycle.closed is None or not cycle.judged:
            return None
        at = self.reached(which, 100, now)
        return at is None or at == cycle.closed

    def settle(self, now: int, *, silent: bool = False, by_time: bool = False) -> None:
        """What is announced at `now`: it stays while it is true, and what has become true joins it."""
        if by_time and not self._is_due(now):
            return  # by itself slad looks at a ticket only when there is something to announce
        judged, known = self.judged, self.known(now)
        cycles = {key[:2] for key in self.keys()}
        for key in list(self.announced):
            percent = key[2]
            if key[:2] not in cycles:
                del self.announced[key]  # of a cycle that never was, or a clock that is gone, nothing stands
                continue
            cycle = self.cycle(key[:2])
            named = percent in self.percents(cycle.clock)
            if now < known and not named:
                continue  # the wall clock was set back, and tells nothing about it (C5)
            counted = self.elapsed(key[:2], known) * MINUTE_MS * 100
            if counted < cycle.clock.target_ms * percent:
                del self.announced[key]
            elif not named or self.reached(key[:2], percent, known) != self.announced[key].minute:
                judged = known
        for key in self.keys():
            at = self.reached(key[:2], key[2], now)
            if at is not None:
                self.announced.setdefault(key, Firing(at, silent, now))
        self.judged = judged

    def _is_due(self, now: int) -> bool:
        return any(
            self.reached(key[:2], key[2], now) is not None for key in self.keys() if key not in self.announced
        )

    def announce(self, key: Announced, now: int) -> None:
        """Exactly this is announced at `now`, if it is true."""
        at = self.reached(key[:2], key[2], now) if key in self.keys() else None
        if at is not None:
            self.announced.setdefault(key, Firing(at, silent=False, at=now))

    def status(self, now: int) -> str:
        """One word about response and resolution (T1)."""
        if self.history.life == "paused":
            return "PAUSED"
        unnamed = [cycle for cycle in self.cycles if cycle[0] in ("response", "resolution")]
        for cycle in unnamed:
            met = self.met(cycle, now)
            if met is False or (met is None and self.reached(cycle, 100, now) is not None):
                return f"{cycle[0].upper()}_BREACHED"
        for cycle in unnamed:
            target = self.cycle(cycle).clock.target_ms // MINUTE_MS
            left = target - self.elapsed(cycle, now)
            if self.cycle(cycle).closed is None and left * 4 <= target:
                return "AT_RISK"
        return "ON_TRACK"

    def remaining(self, which: Cycle, now: int) -> int | None:
        cycle = self.cycle(which)
        if cycle.closed is not None:
            return None
        return cycle.clock.target_ms // MINUTE_MS - self.elapsed(which, now)

    def paused_minutes(self, now: int) -> int:
        paused: set[int] = set()
        for from_, to, reason in self.history.holds:
            if reason is not None:
                paused.update(range(from_, now if to is None else to))
        return len(paused)


def _same(cycle: NaiveCycle) -> Cycle:
    """What makes a cycle the same: of a clock that has one only, not even its opening (K4)."""
    return cycle.clock.name, FROM_START if cycle.clock.name in ONE_CYCLE else cycle.opened


@dataclass
class Ticket:
    generations: list[Generation] = field(default_factory=list)

    @property
    def latest(self) -> Generation:
        return self.generations[-1]

    @property
    def live(self) -> bool:
        return bool(self.generations) and not self.latest.history.ended
