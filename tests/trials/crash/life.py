"""What has happened to a ticket: facts in the order of time, folded into its history (C2, M2 to M6)."""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum
from typing import NamedTuple


class Life(StrEnum):
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self in (Life.COMPLETED, Life.CANCELLED)


class Kind(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    RESPOND = "respond"
    RESOLVE = "resolve"
    CANCEL = "cancel"
    REOPEN = "reopen"


class Fact(NamedTuple):
    at: int
    kind: Kind
    reason: int = 0
    met: bool | None = None


class Stop(NamedTuple):
    """A stretch that does not count: a pause, or (without a reason) from an end to the reopening."""

    begin: int
    end: int | None
    reason: int
    resumed: bool = False


class Done(NamedTuple):
    at: int
    met: bool | None
    """What the caller said."""


class History(NamedTuple):
    life: Life = Life.RUNNING
    stops: tuple[Stop, ...] = ()
    ended_at: int | None = None
    response: Done | None = None
    resolution: Done | None = None
    added: tuple[tuple[int, int], ...] = ()
    """(at, reason) of further reasons for which a paused ticket was paused (K5)."""
    held: frozenset[int] = frozenset()
    """The reasons for which it is paused."""

    def after(self, fact: Fact) -> History:
        """The history with one more fact at its end; one that has no meaning there leaves it as it is."""
        at, after = fact.at, self
        match fact.kind, self.life:
            case Kind.PAUSE, Life.RUNNING:
                stop = Stop(at, None, fact.reason)
                held = frozenset({fact.reason})
                after = self._replace(life=Life.PAUSED, stops=(*self.stops, stop), held=held)
            case Kind.PAUSE, Life.PAUSED if fact.reason not in self.held:
                added = (*self.added, (at, fact.reason))
                after = self._replace(held=self.held | {fact.reason}, added=added)
            case Kind.RESUME, Life.PAUSED:
                after = self._unpaused(at, resumed=True)._replace(life=Life.RUNNING)
            case Kind.RESPOND, Life.RUNNING | Life.PAUSED if self.response is None:
                after = self._replace(response=Done(at, fact.met))
            case Kind.RESOLVE, Life.RUNNING | Life.PAUSED:
                after = self._unpaused(at)._replace(
                    life=Life.COMPLETED,
                    ended_at=at,
                    response=self.response or Done(at, None),
                    resolution=Done(at, fact.met),
                )
            case Kind.CANCEL, Life.RUNNING | Life.PAUSED:
                after = self._unpaused(at)._replace(life=Life.CANCELLED, ended_at=at)
            case Kind.REOPEN, Life.COMPLETED | Life.CANCELLED:
                assert self.ended_at is not None
                stop = Stop(self.ended_at, at, 0)
                stops = (*self.stops, stop)
                after = History(Life.RUNNING, stops, response=self.response, added=self.added)
        return after

    def _unpaused(self, at: int, *, resumed: bool = False) -> History:
        if self.life is not Life.PAUSED:
            return self
        stops = (*self.stops[:-1], self.stops[-1]._replace(end=at, resumed=resumed))
        return self._replace(stops=stops, held=frozenset())


def fold(facts: tuple[Fact, ...]) -> History:
    history = History()
    for fact in facts:
        history = history.after(fact)
    return history


def until(facts: tuple[Fact, ...], at: int) -> tuple[Fact, ...]:
    """The facts up to and including the instant `at`."""
    return facts[: bisect_right(facts, at, key=lambda fact: fact.at)]


def put(facts: tuple[Fact, ...], fact: Fact) -> tuple[Fact, ...]:
    """`facts` with one more, where it belongs in time."""
    before = until(facts, fact.at)
    return (*before, fact, *facts[len(before) :])
