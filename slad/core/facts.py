"""What happened to a ticket, and what follows from it.

A tracking stores facts in the order of the instants at which they took effect, never a shifted due date
(C2). The table `LIFE` says what each fact does in each state of a ticket's life; folding the facts over it
gives the pauses, the completions and the state. So a fact that arrives late is put where it belongs and
everything is derived anew (M6): the order of arrival leaves no trace.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from slad.core.events import PauseReason


class Life(IntEnum):
    """The states of a ticket's life."""

    RUNNING = 1
    PAUSED = 2
    COMPLETED = 3
    CANCELLED = 4

    @property
    def ended(self) -> bool:
        """Whether the tracking has ended."""
        return self >= Life.COMPLETED


class FactKind(IntEnum):
    """What can happen to a ticket after its start. The numbers are stored."""

    PAUSE = 1
    RESUME = 2
    RESPOND = 3
    RESOLVE = 4
    CANCEL = 5
    REOPEN = 6


LIFE: Final[dict[Life, dict[FactKind, Life]]] = {
    Life.RUNNING: {
        FactKind.PAUSE: Life.PAUSED,
        FactKind.RESUME: Life.RUNNING,
        FactKind.RESPOND: Life.RUNNING,
        FactKind.RESOLVE: Life.COMPLETED,
        FactKind.CANCEL: Life.CANCELLED,
    },
    Life.PAUSED: {
        FactKind.PAUSE: Life.PAUSED,
        FactKind.RESUME: Life.RUNNING,
        FactKind.RESPOND: Life.PAUSED,
        FactKind.RESOLVE: Life.COMPLETED,
        FactKind.CANCEL: Life.CANCELLED,
    },
    Life.COMPLETED: {
        FactKind.RESPOND: Life.COMPLETED,
        FactKind.RESOLVE: Life.COMPLETED,
        FactKind.REOPEN: Life.RUNNING,
    },
    Life.CANCELLED: {
        FactKind.CANCEL: Life.CANCELLED,
        FactKind.REOPEN: Life.RUNNING,
    },
}
"""What each fact does in each state (M2–M5). A missing entry is a command that is refused there, and a fact
that has no effect when a late one turns out to have come before it."""


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """Something that took effect at `at` (UTC epoch ms).

    `detail` is the PauseReason of a PAUSE; for RESPOND and RESOLVE the verdict that the caller sent:
    0 none, 1 missed, 2 met.
    """

    at: int
    kind: int
    detail: int = 0


REPORTED_NONE: Final = 0
REPORTED_MISSED: Final = 1
REPORTED_MET: Final = 2

REPORTED: Final[dict[int, bool | None]] = {REPORTED_NONE: None, REPORTED_MISSED: False, REPORTED_MET: True}


def reported_code(met: bool | None) -> int:
    """The `detail` of a completion with which the caller sent the verdict `met`."""
    return next(code for code, verdict in REPORTED.items() if verdict is met)


class Stop(NamedTuple):
    """A stretch [from_ms, to_ms) in which no clock counts; running while `to_ms` is None.

    `reason` is None for the stretch between the end of a ticket and its reopening.
    """

    from_ms: int
    to_ms: int | None
    reason: PauseReason | None
    resumed: bool = False
    """Ended by a resume, not by the end of the tracking."""


class History(NamedTuple):
    """What the facts amount to."""

    life: Life
    stops: tuple[Stop, ...]
    """In order, disjoint; only the last may be running."""
    ended_at: int | None
    response_at: int | None
    response_reported: bool | None
    resolution_at: int | None
    resolution_reported: bool | None

    @property
    def running_pause(self) -> Stop | None:
        """The pause that is on, if one is."""
        return self.stops[-1] if self.life is Life.PAUSED else None


BLANK: Final = History(Life.RUNNING, (), None, None, None, None, None)


def fold(facts: tuple[Fact, ...]) -> History:
    """The history that `facts`, in order, amount to. Facts with no entry in `LIFE` have no effect."""
    if not facts:
        return BLANK
    life = Life.RUNNING
    stops: list[Stop] = []
    ended_at: int | None = None
    response: tuple[int, bool | None] | None = None
    resolution: tuple[int, bool | None] | None = None
    for fact in facts:
        at, kind = fact.at, FactKind(fact.kind)
        following = LIFE[life].get(kind)
        if following is None:
            continue
        if kind is FactKind.RESPOND and response is None:
            response = at, REPORTED[fact.detail]
        if following is not life:
            if life is Life.PAUSED:
                stops[-1] = stops[-1]._replace(to_ms=at, resumed=following is Life.RUNNING)
            if following is Life.PAUSED:
                stops.append(Stop(at, None, PauseReason(fact.detail)))
            elif following.ended:
                ended_at = at
                if following is Life.COMPLETED:
                    resolution = at, REPORTED[fact.detail]
                    # A response never recorded counts as given at the resolution (M3).
                    response = response or (at, None)
            elif life.ended:
                # The time during which the ticket was closed does not count (M5). What it answered, it
                # answered; the resolution is open again.
                assert ended_at is not None
                stops.append(Stop(ended_at, at, None))
                ended_at = resolution = None
        life = following
    response_at, response_reported = response or (None, None)
    resolution_at, resolution_reported = resolution or (None, None)
    return History(
        life, tuple(stops), ended_at, response_at, response_reported, resolution_at, resolution_reported
    )


def life_at(facts: tuple[Fact, ...], at: int) -> History:
    """The history as it stood at `at` (UTC epoch ms), facts of that very instant included."""
    return fold(facts[: bisect_right(facts, at, key=_instant)])


def insert(facts: tuple[Fact, ...], fact: Fact) -> tuple[Fact, ...]:
    """`facts` with `fact` where it belongs in time; after those of the same instant."""
    place = bisect_right(facts, fact.at, key=_instant)
    return (*facts[:place], fact, *facts[place:])


def _instant(fact: Fact) -> int:
    return fact.at
