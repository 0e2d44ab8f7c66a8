"""A ticket with all its clocks counted minute by minute: slow, obvious, and with no code in common with slad.

It is told everything that ever happened, sorts it by when it took effect, and walks from the start to now
(C6, K2, K3, K5, K7, M3). All instants are whole minutes since a midnight, a Monday's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from slad.core.instants import MINUTE_MS
from slad.core.terms import ClockKind, ClockTerms, Terms

Happened = tuple[int, str]
"""(minute, a name of tests/core/happenings.py)"""

Announced = tuple[str, int, int]
"""(clock, opening, percent)"""

MINUTES_A_DAY = 24 * 60


def office_open(minute: int) -> bool:
    """Monday to Friday, 09:00 to 17:00."""
    return (minute // MINUTES_A_DAY) % 7 < 5 and 9 * 60 <= minute % MINUTES_A_DAY < 17 * 60


@dataclass
class NaiveCycle:
    """One cycle of a clock."""

    clock: ClockTerms
    opened: int
    closed: int | None = None
    judged: bool = True
    resumable: bool = False
    """It was closed by a cancel alone, and goes on after it."""
    counted: int = 0
    due: int | None = None
    """The minute at which all of its target had counted."""

    @property
    def met(self) -> bool | None:
        """K3: closed at or before its 100 % instant."""
        if self.closed is None or not self.judged:
            return None
        return self.due is None or self.closed <= self.due

    def has_counted(self, percent: int) -> bool:
        """Whether so much of the target has counted."""
        return self.counted * MINUTE_MS * 100 >= self.clock.target_ms * percent

    def close(self, minute: int, *, judged: bool = True) -> None:
        if self.closed is None:
            self.closed, self.judged = minute, judged


@dataclass
class NaiveLife:
    """What the facts of a ticket amount to, told in the order of their minutes."""

    terms: Terms
    start: int
    unjudged_response: bool = False
    cycles: list[NaiveCycle] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    holds: list[list[int | str | None]] = field(default_factory=list)
    """[from, to, reason] of every pause, and of each time for which the ticket was closed (reason None)."""
    owners: list[tuple[int, str]] = field(default_factory=list)
    response: tuple[int, bool] | None = None
    """(at, judged), also without such a clock."""
    ended: str = ""
    ended_at: int | None = None

    def __post_init__(self) -> None:
        at_start = (ClockKind.RESPONSE, ClockKind.RESOLUTION, ClockKind.FROM_START, ClockKind.PERIODIC_UPDATE)
        self.cycles = [NaiveCycle(clock, self.start) for clock in self.terms.clocks if clock.kind in at_start]

    @property
    def life(self) -> str:
        """One word for it."""
        return self.ended or ("paused" if self.held else "running")

    @property
    def owner(self) -> str:
        """Who has the ticket."""
        return self.owners[-1][1] if self.owners else ""

    def open_cycle(self, name: str) -> NaiveCycle | None:
        """The cycle of that clock that is open."""
        found = [cycle for cycle in self.cycles if cycle.clock.name == name and cycle.closed is None]
        return found[0] if found else None

    def obey(self, what: str, minute: int) -> None:
        """Something happens, by its name; what cannot happen now has no effect."""
        if self.ended:
            if what == "reopen":
                self._reopen(minute)
            return
        match what.split():
            case ["pause", *rest]:
                self._pause(rest[-1] if rest else "AWAITING_CLIENT", minute)
            case ["resume", *rest]:
                self._resume(minute, rest[-1] if rest else "")
            case ["respond"]:
                self._answer(minute)
            case ["agent"]:
                self._answer(minute)
                for clock in self.terms.clocks:
                    if clock.kind == ClockKind.NEXT_REPLY:
                        self._close(clock.name, minute)
                    if clock.kind == ClockKind.PERIODIC_UPDATE:
                        self._close(clock.name, minute)
                        self._open(clock, minute)
            case ["customer"]:
                for clock in self.terms.clocks:
                    waits = clock.kind == ClockKind.NEXT_REPLY and not self.open_cycle(clock.name)
                    if waits and (self.response or not self.terms.response_ms):
                        self._open(clock, minute)
            case ["to", owner]:
                self._assign("" if owner == "nobody" else owner, minute)
            case ["complete", name]:
                self._close(name, minute)
            case ["discard", "response"]:
                self._answer(minute, judged=False)
            case ["discard", name]:
                self._close(name, minute, judged=False)
            case ["resolve"]:
                self._end("completed", minute)
                self._answer(minute, judged=not self.unjudged_response)
                for cycle in self.cycles:
                    cycle.close(minute)
            case ["cancel"]:
                self._end("cancelled", minute)
                for cycle in self.cycles:
                    cycle.resumable = cycle.closed is None
                    cycle.close(minute, judged=False)
            case _:
                pass  # a reopening of what is open

    def _pause(self, reason: str, minute: int) -> None:
        if reason not in self.held:
            self.held.append(reason)
            self.holds.append([minute, None, reason])

    def _resume(self, minute: int, reason: str) -> None:
        for hold in self.holds:
            if hold[1] is None and reason in ("", hold[2]):
                hold[1] = minute
        self.held = [held for held in self.held if reason and held != reason]

    def _end(self, how: str, minute: int) -> None:
        self._resume(minute, "")
        self.ended, self.ended_at = how, minute

    def _answer(self, minute: int, *, judged: bool = True) -> None:
        if self.response is None:
            self.response = minute, judged
            self._close("response", minute, judged=judged)

    def _assign(self, owner: str, minute: int) -> None:
        if owner == self.owner:
            return
        self.owners.append((minute, owner))
        for clock in self.terms.clocks:
            if clock.kind == ClockKind.OWNERSHIP:
                self._close(clock.name, minute)
                self._own(clock, minute)

    def _own(self, clock: ClockTerms, minute: int) -> None:
        if self.owner and clock.owner in ("", self.owner):
            self._open(clock, minute)

    def _reopen(self, minute: int) -> None:
        self.holds.append([self.ended_at, minute, None])
        was, self.ended, self.ended_at = self.ended, "", None
        for cycle in self.cycles:
            if cycle.resumable or (was == "completed" and cycle.clock.kind == ClockKind.RESOLUTION):
                cycle.closed, cycle.judged, cycle.resumable = None, True, False
        if was == "completed":
            for clock in self.terms.clocks:
                if clock.kind == ClockKind.PERIODIC_UPDATE:
                    self._open(clock, minute)
                if clock.kind == ClockKind.OWNERSHIP:
                    self._own(clock, minute)

    def _open(self, clock: ClockTerms, minute: int) -> None:
        # One that was closed at the very minute of its opening is the one that opens there.
        self.cycles = [
            cycle for cycle in self.cycles if (cycle.clock.name, cycle.opened) != (clock.name, minute)
        ]
        self.cycles.append(NaiveCycle(clock, minute))

    def _close(self, name: str, minute: int, *, judged: bool = True) -> None:
        cycle = self.open_cycle(name)
        if cycle:
            cycle.close(minute, judged=judged)


@dataclass
class NaiveTicket:
    """What was told of a ticket, and what it has announced."""

    start: int
    terms: Terms
    unjudged_response: bool = False
    happened: list[Happened] = field(default_factory=list)
    """In order of arrival; the sort by minute is stable."""
    announced: set[Announced] = field(default_factory=set)

    def walk(self, now: int) -> NaiveLife:
        """Its life up to `now`, with what its cycles have counted."""
        life = NaiveLife(self.terms, self.start, self.unjudged_response)
        waiting = sorted((one for one in self.happened if one[0] <= now), key=lambda one: one[0])
        changes = {minute for minute, _ in waiting} | {now}
        for minute in range(self.start, now + 1):
            if not (office_open(minute) or minute in changes):
                continue  # nothing counts, and nothing happens
            _note_due(life, minute)
            while waiting and waiting[0][0] == minute:
                life.obey(waiting.pop(0)[1], minute)
            if minute < now and office_open(minute):
                _count(life)
        return life

    def settle(self, now: int) -> NaiveLife:
        """What is announced at `now`: it stays if it is still true, and what has become true joins it."""
        life = self.walk(now)
        self.announced = {
            (cycle.clock.name, cycle.opened, percent)
            for cycle in life.cycles
            for percent in self._percents(cycle)
            if cycle.has_counted(percent)
        }
        return life

    def _percents(self, cycle: NaiveCycle) -> set[int]:
        clock = cycle.clock
        told = {at for name, opened, at in self.announced if (name, opened) == (clock.name, cycle.opened)}
        return {*told, *(clock.notification_percents or self.terms.notification_percents), 100}


def _note_due(life: NaiveLife, minute: int) -> None:
    for cycle in life.cycles:
        if cycle.closed is None and cycle.due is None and cycle.has_counted(100):
            cycle.due = minute


def _count(life: NaiveLife) -> None:
    for cycle in life.cycles:
        heeds = cycle.clock.paused_by
        stopped = bool(life.held) if heeds is None else any(reason in heeds for reason in life.held)
        if cycle.closed is None and not stopped and not life.ended:
            cycle.counted += 1
