"""What the facts of a ticket amount to: its life, what stopped it, what closed its obligations.

Folding the facts, in the order of their instants, over the table `LIFE` gives it. Whatever arrives late is
put where it belongs and everything is derived anew: the order of arrival leaves no trace (M6, K6).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import msgspec

from slad.core.events import RESPONSE
from slad.core.facts import LIFE, REPORTED, Fact, FactKind, Life


class Stop(msgspec.Struct, frozen=True):
    """A stretch [from_ms, to_ms) in which a clock does not count; running while `to_ms` is None.

    `reason` is the first reason that is held in it; None for the stretch between the end of a ticket and its
    reopening.
    """

    from_ms: int
    to_ms: int | None
    reason: str | None
    resumed: bool = False
    """Ended by a resume, not by the end of the tracking."""


class Hold(msgspec.Struct, frozen=True):
    """A stretch [from_ms, to_ms) in which one reason to pause is held (K5)."""

    from_ms: int
    to_ms: int | None
    reason: str


class Completion(msgspec.Struct, frozen=True):
    """What closed an obligation, at `at` (UTC epoch ms)."""

    at: int
    reported: bool | None = None
    """The caller's own verdict."""
    judged: bool = True
    """Whether there is a verdict on it: not if it was discarded, or lapsed with the resolution (K3, K7)."""


class History(msgspec.Struct, frozen=True):
    """What the facts amount to."""

    life: Life = Life.RUNNING
    stops: tuple[Stop, ...] = ()
    """When the ticket was paused for any reason, or closed; in order, disjoint, the last perhaps running."""
    holds: tuple[Hold, ...] = ()
    """The same reason by reason, in the order of their beginnings."""
    ended_at: int | None = None
    response: Completion | None = None
    resolution: Completion | None = None
    owners: tuple[tuple[int, str], ...] = ()
    """(since when, who has had the ticket), each change; an empty one is nobody."""
    readable: tuple[Fact, ...] = ()
    """The facts that had an effect, without pauses and resumes; what clocks read into cycles (K2)."""

    @property
    def owner(self) -> str:
        """Who has the ticket; empty: nobody."""
        return self.owners[-1][1] if self.owners else ""

    @property
    def response_at(self) -> int | None:
        """When the response was given, UTC epoch ms; None also when it was discarded or lapsed."""
        return self.response.at if self.response and self.response.judged else None

    @property
    def running_pause(self) -> Stop | None:
        """The pause that is on, if one is."""
        return self.stops[-1] if self.life is Life.PAUSED else None

    @property
    def held(self) -> tuple[str, ...]:
        """The reasons that are held, the one that was held first in front (K5)."""
        return tuple(hold.reason for hold in self.holds if hold.to_ms is None)


BLANK: Final = History()


def fold(facts: tuple[Fact, ...], *, unjudged_response: bool = False) -> History:
    """The history that `facts`, in order, amount to. Facts with no entry in `LIFE` have no effect.

    With `unjudged_response` a response that the resolution brings with it is closed without a verdict (K7).
    """
    if not facts:
        return BLANK
    known = len(facts) // BLOCK * BLOCK
    before = _folded_before(facts[:known], unjudged_response) if known else BLANK
    return extended(before, *facts[known:], unjudged_response=unjudged_response)


def extended(history: History, *facts: Fact, unjudged_response: bool = False) -> History:
    """What `fold` gives of the facts of `history` and more, which follow all of them."""
    folding = _Folding(history, unjudged_response=unjudged_response)
    for fact in facts:
        folding.add(fact)
    return folding.history()


BLOCK: Final = 64
"""What comes before the last whole block of many facts is remembered: a command on a ticket that has many
costs little more than on one that has few."""


@lru_cache(maxsize=32)
def _folded_before(facts: tuple[Fact, ...], unjudged_response: bool) -> History:
    return extended(BLANK, *facts, unjudged_response=unjudged_response)


def heeded(history: History, reasons: tuple[str, ...] | None) -> tuple[Stop, ...]:
    """The stretches in which a clock stops that heeds these `reasons`; None: every reason (K5).

    Reasons that overlap stop it once. It always stops while the ticket is closed.
    """
    if reasons is None:
        return history.stops
    stops = [stop for stop in history.stops if stop.reason is None]
    stops += (Stop(hold.from_ms, hold.to_ms, hold.reason) for hold in history.holds if hold.reason in reasons)
    stops.sort(key=beginning)
    united: list[Stop] = []
    for stop in stops:
        last = united[-1] if united else None
        if last is None or (last.to_ms is not None and last.to_ms < stop.from_ms):
            united.append(stop)
        elif last.to_ms is not None and (stop.to_ms is None or stop.to_ms > last.to_ms):
            united[-1] = msgspec.structs.replace(last, to_ms=stop.to_ms)
    return tuple(united)


def beginning(stretch: Stop | Hold) -> int:
    """The key by which stretches are in order."""
    return stretch.from_ms


class Leading:
    """Which of the reasons that are held has been held longest, at any time (K5)."""

    def __init__(self, holds: Iterable[Hold]) -> None:
        """`holds` are in the order of their beginnings."""
        self._begins: list[int] = []
        self._ends: list[int | None] = []
        self._reasons: list[str] = []
        until: int | None = 0
        for hold in holds:
            # Where two overlap, the former has been held longer.
            begin = hold.from_ms if not self._begins else max(hold.from_ms, until or 0)
            if hold.to_ms is None or begin < hold.to_ms:
                self._begins.append(begin)
                self._ends.append(hold.to_ms)
                self._reasons.append(hold.reason)
                until = hold.to_ms
                if until is None:
                    break

    def at(self, at: int) -> str:
        """The reason at an instant; "" when none is held."""
        place = bisect_right(self._begins, at) - 1
        if place < 0:
            return ""
        end = self._ends[place]
        return self._reasons[place] if end is None or at < end else ""

    def within(self, from_ms: int, to_ms: int) -> Iterator[Hold]:
        """Its stretches in [from_ms, to_ms), in order; none is empty."""
        first = max(bisect_right(self._begins, from_ms) - 1, 0)
        for place in range(first, bisect_left(self._begins, to_ms)):
            begin, end = max(self._begins[place], from_ms), self._ends[place]
            end = to_ms if end is None else min(end, to_ms)
            if begin < end:
                yield Hold(begin, end, self._reasons[place])


class _Folding:
    """A history in the making. Facts may be many, so it makes do with few calls for each."""

    def __init__(self, history: History = BLANK, *, unjudged_response: bool) -> None:
        self._judges_response = not unjudged_response
        self._life = history.life
        self._stops = list(history.stops)
        self._holds = list(history.holds)
        self._held: dict[str, int] = {}
        """By reason, the place of the hold that is on."""
        if self._life is Life.PAUSED:
            self._held = {hold.reason: place for place, hold in enumerate(self._holds) if hold.to_ms is None}
        self._ended_at = history.ended_at
        self._response = history.response
        self._resolution = history.resolution
        self._owners = list(history.owners)
        self._readable = list(history.readable)

    def add(self, fact: Fact) -> None:
        kind = fact.kind
        following = LIFE[self._life].get(kind)
        if following is None or following is Life.CANCELLED is self._life:
            return  # of a cancelled ticket it is only recorded (M4)
        if kind == FactKind.PAUSE:
            reason = fact.reason
            if reason not in self._held:
                self._held[reason] = len(self._holds)
                self._holds.append(Hold(fact.at, None, reason))
        elif kind == FactKind.RESUME:
            self._let_go(fact.at, fact.reason)
            if self._held:
                following = self._life
        else:
            self._readable.append(fact)
            self._note(kind, fact)
        if following is not self._life:
            self._turn(following, fact)

    def history(self) -> History:
        return History(
            self._life,
            tuple(self._stops),
            tuple(self._holds),
            self._ended_at,
            self._response,
            self._resolution,
            tuple(self._owners),
            tuple(self._readable),
        )

    def _let_go(self, at: int, reason: str) -> None:
        for name in (reason,) if reason else (*self._held,):
            place = self._held.pop(name, None)
            if place is not None:
                self._holds[place] = Hold(self._holds[place].from_ms, at, name)

    def _note(self, kind: int, fact: Fact) -> None:
        """What a fact means for the response and the owner, which do not turn the ticket's life."""
        if kind == FactKind.ASSIGN:
            if fact.text != (self._owners[-1][1] if self._owners else ""):
                self._owners.append((fact.at, fact.text))
        elif self._response is None:
            if kind == FactKind.RESPOND:
                self._response = Completion(fact.at, REPORTED[fact.detail])
            elif kind == FactKind.AGENT_MESSAGE:
                self._response = Completion(fact.at)
            elif kind == FactKind.DISCARD and fact.text == RESPONSE:
                self._response = Completion(fact.at, judged=False)

    def _turn(self, following: Life, fact: Fact) -> None:
        at = fact.at
        if self._life is Life.PAUSED:
            if self._held:
                self._let_go(at, "")
            stop = self._stops[-1]
            self._stops[-1] = Stop(stop.from_ms, at, stop.reason, following is Life.RUNNING)
        if following is Life.PAUSED:
            self._stops.append(Stop(at, None, fact.reason))
        elif following.ended:
            self._ended_at = at
            if following is Life.COMPLETED:
                self._resolution = Completion(at, REPORTED[fact.detail])
                # A response never recorded counts as given at the resolution (M3), or is left unjudged (K7).
                self._response = self._response or Completion(at, judged=self._judges_response)
        elif self._life.ended:
            # The time during which the ticket was closed does not count (M5). What it answered, it
            # answered; the resolution is open again.
            assert self._ended_at is not None
            self._stops.append(Stop(self._ended_at, at, None))
            self._ended_at = self._resolution = None
        self._life = following
