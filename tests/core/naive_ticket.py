"""A ticket counted minute by minute: slow, obvious, and with no code in common with slad.

It is told everything that ever happened, sorts it by when it took effect, and walks from the start to now.
All instants are whole minutes since an arbitrary midnight, a Monday.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTES_A_DAY = 24 * 60


def office_open(minute: int) -> bool:
    """Monday to Friday, 09:00 to 17:00."""
    return (minute // MINUTES_A_DAY) % 7 < 5 and 9 * 60 <= minute % MINUTES_A_DAY < 17 * 60


@dataclass
class NaiveTerms:
    targets: dict[str, int]
    percents: set[int]


@dataclass
class NaiveTicket:
    start: int
    terms: NaiveTerms
    ops: list[tuple[int, str]] = field(default_factory=list)
    """(minute, op) in order of arrival; the sort by minute is stable."""
    announced: set[tuple[str, int]] = field(default_factory=set)

    def walk(self, now: int) -> NaiveState:
        state = NaiveState(dict.fromkeys(self.terms.targets, 0))
        waiting = sorted(self.ops, key=lambda op: op[0])
        for minute in range(self.start, now + 1):
            state.minute = minute
            while waiting and waiting[0][0] == minute:
                state.obey(waiting.pop(0)[1])
            if minute < now:
                state.count(office_open(minute))
        return state

    def settle(self, now: int) -> NaiveState:
        """What is announced at `now`: it stays if it is still true, and what has become true joins it."""
        state = self.walk(now)
        true = {
            (phase, percent)
            for phase, percent in self.announced
            | {(ph, p) for ph in self.terms.targets for p in self.terms.percents}
            if phase in self.terms.targets
            and state.elapsed[phase] * 100 >= self.terms.targets[phase] * percent
        }
        self.announced = true
        return state


@dataclass
class NaiveState:
    elapsed: dict[str, int]
    life: str = "running"
    minute: int = 0
    response_at: int | None = None
    resolution_at: int | None = None
    ended_at: int | None = None
    pauses: list[list[int]] = field(default_factory=list)

    def obey(self, op: str) -> None:
        if self.life in ("completed", "cancelled"):
            return
        if op == "pause" and self.life == "running":
            self.life = "paused"
        elif op == "resume" and self.life == "paused":
            self.life = "running"
        elif op == "respond" and self.response_at is None:
            self.response_at = self.minute
        elif op == "resolve":
            self.life, self.ended_at, self.resolution_at = "completed", self.minute, self.minute
            if self.response_at is None:
                self.response_at = self.minute
        elif op == "cancel":
            self.life, self.ended_at = "cancelled", self.minute

    def count(self, is_open: bool) -> None:
        if self.life != "running" or not is_open:
            return
        for phase in self.elapsed:
            if phase == "response" and self.response_at is not None:
                continue
            self.elapsed[phase] += 1
