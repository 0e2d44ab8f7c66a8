"""Tickets counted minute by minute: slow, obvious, and with no code in common with slad.

Everything that ever happened is kept in the order of the minutes at which it took effect, and walked through anew
for every question. Minutes count from a Monday's midnight.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.core.naive_ticket import MINUTES_A_DAY, office_open
from tests.trials.simulation.actions import Promise

OFFICE = [minute for minute in range(-60 * MINUTES_A_DAY, 400 * MINUTES_A_DAY) if office_open(minute)]
"""Every open minute."""


class Op(NamedTuple):
    minute: int
    kind: str
    reason: int = 0


@dataclass
class History:
    """What a list of ops amounts to."""

    runs: list[list[int | None]]
    """[from, to] of each stretch in which the ticket was live and not paused."""
    life: str = "running"
    pauses: list[list[int | None]] = field(default_factory=list)
    """[from, to, reason]."""
    added: list[tuple[int, int]] = field(default_factory=list)
    """(at, reason) of further reasons for which a paused ticket was paused (K5)."""
    held: set[int] = field(default_factory=set)
    """The reasons for which it is paused."""
    response_at: int | None = None
    resolution_at: int | None = None
    ended_at: int | None = None

    def obey(self, op: Op) -> None:
        if op.kind == "reopen" and self.life in ("completed", "cancelled"):
            self.life, self.ended_at, self.resolution_at = "running", None, None
            self.runs.append([op.minute, None])
        elif self.life in ("completed", "cancelled"):
            return
        elif op.kind == "pause" and self.life == "running":
            self.life = "paused"
            self.runs[-1][1] = op.minute
            self.pauses.append([op.minute, None, op.reason])
            self.held = {op.reason}
        elif op.kind == "pause" and op.reason not in self.held:
            self.held.add(op.reason)
            self.added.append((op.minute, op.reason))
        elif op.kind == "resume" and self.life == "paused":
            self.life, self.held = "running", set()
            self.pauses[-1][1] = op.minute
            self.runs.append([op.minute, None])
        elif op.kind == "respond" and self.response_at is None:
            self.response_at = op.minute
        elif op.kind in ("resolve", "cancel"):
            (self.runs if self.life == "running" else self.pauses)[-1][1] = op.minute
            self.life, self.held = "completed" if op.kind == "resolve" else "cancelled", set()
            self.ended_at = op.minute
            if op.kind == "resolve":
                self.resolution_at = op.minute
                self.response_at = op.minute if self.response_at is None else self.response_at


def walk(start: int, ops: list[Op]) -> History:
    history = History([[start, None]])
    for op in ops:
        history.obey(op)
    return history


class Announced(NamedTuple):
    minute: int
    silent: bool
    at: int
    """When it was announced."""


Key = tuple[str, int]
"""(phase, percent)."""


@dataclass
class Generation:
    promise: Promise
    start: int
    ops: list[Op] = field(default_factory=list)
    announced: dict[Key, Announced] = field(default_factory=dict)
    inherits: bool = False
    """It goes on with what was announced of the one before."""
    judged: int = -(10**9)
    """When an announcement was last found to be true of another minute than it was made for."""
    former: list[Promise] = field(default_factory=list)
    """Promises that were in force earlier in the present step."""

    @property
    def history(self) -> History:
        return walk(self.start, self.ops)

    def life_at(self, minute: int) -> History:
        return walk(self.start, [op for op in self.ops if op.minute <= minute])

    def put(self, op: Op) -> None:
        self.ops.append(op)
        self.ops.sort(key=lambda one: one.minute)

    @property
    def latest_fact(self) -> int:
        """What the clock must not fall behind, or nothing more can be told of this ticket."""
        return max(
            [self.start, *(op.minute for op in self.ops), *(one.at for one in self.announced.values())]
        )

    def known(self, now: int) -> int:
        """How far slad's clock is known to have come; beyond `now` when it was set back (C5)."""
        return max(now, self.judged, self.latest_fact)

    def closed_at(self, phase: str) -> int | None:
        history = self.history
        done = history.response_at if phase == "response" else history.resolution_at
        return history.ended_at if done is None else done

    def counted(self, phase: str, now: int) -> list[range]:
        """The open minutes that count, as stretches; places in OFFICE or minutes themselves."""
        closed = self.closed_at(phase)
        limit = now if closed is None else min(now, closed)
        found = []
        for begin, end in self.history.runs:
            assert begin is not None
            until = limit if end is None else min(end, limit)
            if begin < until:
                found.append(self._open(begin, until))
        return found

    def _open(self, begin: int, end: int) -> range:
        if self.promise.office:
            return range(bisect_left(OFFICE, begin), bisect_left(OFFICE, end))
        return range(begin, end)

    def elapsed(self, phase: str, now: int) -> int:
        return sum(map(len, self.counted(phase, now)))

    def reached(self, phase: str, percent: int, now: int) -> int | None:
        """The minute at which elapsed time first was that much of the target, if it was (C3)."""
        need = self.promise.targets[phase] * percent // 100
        for stretch in self.counted(phase, now):
            if need <= len(stretch):
                place = stretch[need - 1]
                return (OFFICE[place] if self.promise.office else place) + 1
            need -= len(stretch)
        return None

    def met(self, phase: str, now: int) -> bool | None:
        history = self.history
        done = history.response_at if phase == "response" else history.resolution_at
        if done is None:
            return None
        at = self.reached(phase, 100, now)
        return at is None or at == done

    def settle(self, now: int, *, silent: bool = False, by_time: bool = False) -> None:
        """What is announced at `now`: it stays while it is true, and what has become true joins it."""
        if by_time and not self._is_due(now):
            return  # by itself slad looks at a ticket only when there is something to announce
        judged = self.judged
        known = self.known(now)
        for phase, percent in list(self.announced):
            target = self.promise.targets.get(phase)
            named = percent in self.promise.percents
            if target is not None and now < known and not named:
                continue  # the wall clock was set back, and tells nothing about it (C5)
            if target is None or self.elapsed(phase, known) * 100 < target * percent:
                del self.announced[phase, percent]
            elif not named or self.reached(phase, percent, known) != self.announced[phase, percent].minute:
                judged = known
        for phase in self.promise.targets:
            for percent in self.promise.percents:
                at = self.reached(phase, percent, now)
                if at is not None:
                    self.announced.setdefault((phase, percent), Announced(at, silent, now))
        self.judged = judged

    def _is_due(self, now: int) -> bool:
        keys = [(phase, percent) for phase in self.promise.targets for percent in self.promise.percents]
        return any(self.reached(*key, now) is not None for key in keys if key not in self.announced)

    def announce(self, key: Key, now: int) -> None:
        """Exactly this is announced at `now`, if it is true."""
        phase, percent = key
        at = self.reached(phase, percent, now) if phase in self.promise.targets else None
        if at is not None and percent in self.promise.percents:
            self.announced.setdefault(key, Announced(at, silent=False, at=now))

    def status(self, now: int) -> str:
        """One word (T1)."""
        if self.history.life == "paused":
            return "PAUSED"
        for phase in self.promise.targets:
            met = self.met(phase, now)
            if met is False or (met is None and self.reached(phase, 100, now) is not None):
                return f"{phase.upper()}_BREACHED"
        for phase, target in self.promise.targets.items():
            left = target - self.elapsed(phase, now)
            if self.closed_at(phase) is None and left * 4 <= target:
                return "AT_RISK"
        return "ON_TRACK"

    def remaining(self, phase: str, now: int) -> int | None:
        if self.closed_at(phase) is not None:
            return None
        return self.promise.targets[phase] - self.elapsed(phase, now)

    def paused_minutes(self, now: int) -> int:
        return sum((now if end is None else end) - begin for begin, end, _ in self.history.pauses)


@dataclass
class Ticket:
    generations: list[Generation] = field(default_factory=list)

    @property
    def latest(self) -> Generation:
        return self.generations[-1]

    @property
    def live(self) -> bool:
        return bool(self.generations) and self.latest.history.life in ("running", "paused")
