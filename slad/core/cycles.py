"""Reading the facts of a ticket into the cycles of a clock (K2, K3).

A cycle is a promise that opens at an instant and is closed by some fact; in between it counts open time.
"""

from __future__ import annotations

from typing import Final

import msgspec

from slad.core.events import RESPONSE
from slad.core.facts import REPORTED, Fact, FactKind
from slad.core.history import Completion, History
from slad.core.terms import ClockKind, ClockTerms


class Cycle(msgspec.Struct, frozen=True):
    """One cycle of a clock."""

    opened_at: int
    """UTC epoch ms."""
    closed_at: int | None
    """When it was closed, or the tracking cancelled; None: it is open."""
    completion: Completion | None
    """What closed it; None while it is open, and when the tracking was cancelled."""


def cycles(
    clock: ClockTerms, started_at: int, history: History, *, has_response_clock: bool
) -> tuple[Cycle, ...]:
    """The cycles of `clock` so far, in the order of their opening; two never overlap."""
    if clock.kind == ClockKind.RESPONSE:
        return (_closed_by(started_at, history.response, history),)
    if clock.kind == ClockKind.RESOLUTION:
        return (_closed_by(started_at, history.resolution, history),)
    walk = _Walk(clock, started_at, is_answered=not has_response_clock)
    for fact in history.readable:
        walk.take(fact)
    return walk.cycles(history)


def _closed_by(opened_at: int, completion: Completion | None, history: History) -> Cycle:
    return Cycle(opened_at, completion.at if completion else history.ended_at, completion)


class _Walk:
    """Goes through the facts of a ticket and keeps the cycles of one named clock."""

    def __init__(self, clock: ClockTerms, started_at: int, *, is_answered: bool) -> None:
        self._clock, self._kind = clock, ClockKind(clock.kind)
        self._found: list[Cycle] = []
        self._opened_at = started_at if self._kind in _OPEN_AT_THE_START else None
        self._owner = ""
        self._is_answered = is_answered
        self._is_resolved = False

    def take(self, fact: Fact) -> None:
        """What a fact means for the clock: perhaps a cycle closes, then perhaps one opens."""
        kind, at = self._kind, fact.at
        # A first answer that is discarded is not waited for either.
        if fact.kind == FactKind.RESPOND or (fact.kind == FactKind.DISCARD and fact.text == RESPONSE):
            self._is_answered = True
        match fact.kind:
            case FactKind.CUSTOMER_MESSAGE if kind is ClockKind.NEXT_REPLY:
                # A further one does not move an open cycle: it counts from the oldest that is unanswered.
                if self._is_answered and self._opened_at is None:
                    self._open(at)
            case FactKind.AGENT_MESSAGE:
                self._agent_wrote(at)
            case FactKind.ASSIGN if fact.text != self._owner:
                self._owner = fact.text
                if kind is ClockKind.OWNERSHIP:
                    self._close(Completion(at))
                    self._own(at)
            case FactKind.COMPLETE if fact.text == self._clock.name:
                self._close(Completion(at, REPORTED[fact.detail]))
            case FactKind.DISCARD if fact.text == self._clock.name:
                self._close(Completion(at, judged=False))
            case FactKind.RESOLVE:
                self._is_answered = self._is_resolved = True
                self._close(Completion(at))
            case FactKind.REOPEN if self._is_resolved:
                # What is always owed is owed anew; after a mere cancel an open cycle goes on (K3).
                self._is_resolved = False
                if kind is ClockKind.PERIODIC_UPDATE:
                    self._open(at)
                elif kind is ClockKind.OWNERSHIP:
                    self._own(at)

    def _agent_wrote(self, at: int) -> None:
        self._is_answered = True
        if self._kind in (ClockKind.NEXT_REPLY, ClockKind.PERIODIC_UPDATE):
            self._close(Completion(at))
        if self._kind is ClockKind.PERIODIC_UPDATE:
            self._open(at)

    def cycles(self, history: History) -> tuple[Cycle, ...]:
        """All of them; the last one may be open, or was closed by a cancel."""
        if self._opened_at is not None:
            self._found.append(Cycle(self._opened_at, history.ended_at, None))
        return tuple(self._found)

    def _own(self, at: int) -> None:
        if self._owner and self._clock.owner in ("", self._owner):
            self._open(at)

    def _open(self, at: int) -> None:
        # One that was closed at the very instant of its opening is not another than the one that opens there.
        if self._found and self._found[-1].opened_at == at:
            self._found.pop()
        self._opened_at = at

    def _close(self, completion: Completion) -> None:
        if self._opened_at is not None:
            self._found.append(Cycle(self._opened_at, completion.at, completion))
            self._opened_at = None


_OPEN_AT_THE_START: Final = (ClockKind.FROM_START, ClockKind.PERIODIC_UPDATE)
