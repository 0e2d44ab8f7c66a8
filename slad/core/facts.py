"""What happened to a ticket, and what follows from it.

A tracking stores facts in the order of the instants at which they took effect, never a shifted due date
(C2). The table `LIFE` says what each fact does in each state of a ticket's life; folding the facts over it
gives the pauses, the completions and the state. So a fact that arrives late is put where it belongs and
everything is derived anew (M6): the order of arrival leaves no trace.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Final

import msgspec

from slad.core.events import PauseReason
from slad.core.instants import SECOND_MS


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


MAX_AHEAD_MS: Final = 5 * SECOND_MS
"""How far ahead of slad's clock the instant of a fact or a start may be: callers' clocks differ (M6)."""


class FactKind(IntEnum):
    """What can happen to a ticket after its start. The numbers are stored."""

    PAUSE = 1
    RESUME = 2
    RESPOND = 3
    RESOLVE = 4
    CANCEL = 5
    REOPEN = 6
    CUSTOMER_MESSAGE = 7
    AGENT_MESSAGE = 8
    ASSIGN = 9
    COMPLETE = 10
    """Closes the open cycle of the clock that `Fact.text` names."""
    DISCARD = 11
    """The same without a verdict."""


READ_BY_CLOCKS: Final = (
    FactKind.CUSTOMER_MESSAGE,
    FactKind.AGENT_MESSAGE,
    FactKind.ASSIGN,
    FactKind.COMPLETE,
    FactKind.DISCARD,
)
"""Facts that leave the ticket's life as it is; clocks read them into cycles (K2)."""

LIFE: Final[dict[Life, dict[int, Life]]] = {
    Life.RUNNING: {
        FactKind.PAUSE: Life.PAUSED,
        FactKind.RESUME: Life.RUNNING,
        FactKind.RESPOND: Life.RUNNING,
        FactKind.RESOLVE: Life.COMPLETED,
        FactKind.CANCEL: Life.CANCELLED,
        **dict.fromkeys(READ_BY_CLOCKS, Life.RUNNING),
    },
    Life.PAUSED: {
        FactKind.PAUSE: Life.PAUSED,
        FactKind.RESUME: Life.RUNNING,
        FactKind.RESPOND: Life.PAUSED,
        FactKind.RESOLVE: Life.COMPLETED,
        FactKind.CANCEL: Life.CANCELLED,
        **dict.fromkeys(READ_BY_CLOCKS, Life.PAUSED),
    },
    Life.COMPLETED: {
        FactKind.RESPOND: Life.COMPLETED,
        FactKind.RESOLVE: Life.COMPLETED,
        FactKind.REOPEN: Life.RUNNING,
    },
    Life.CANCELLED: {
        FactKind.PAUSE: Life.CANCELLED,
        FactKind.RESUME: Life.CANCELLED,
        FactKind.RESPOND: Life.CANCELLED,
        FactKind.CANCEL: Life.CANCELLED,
        FactKind.REOPEN: Life.RUNNING,
    },
}
"""What each fact, by the number of its kind, does in each state (M2–M5). A missing entry is a command that is
refused there, and a fact that has no effect when a late one turns out to have come before it. What is
recorded of a cancelled ticket has its effect when that is continued (M4). A resume leaves a ticket paused
while another reason is held (K5)."""


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """Something that took effect at `at` (UTC epoch ms).

    `detail` is the PauseReason of a PAUSE, and of a RESUME that names one (0: every reason); for RESPOND,
    RESOLVE and COMPLETE the verdict that the caller sent: 0 none, 1 missed, 2 met. `text` is the code of a
    reason that is OTHER, the owner of an ASSIGN, the clock of a COMPLETE or DISCARD.
    """

    at: int
    kind: int
    detail: int = 0
    text: str = ""

    @property
    def reason(self) -> str:
        """The code of the reason for which a PAUSE holds, or that a RESUME lets go; "": every reason (K5)."""
        return self.text or _REASONS[self.detail]


_REASONS: Final = ("", *(reason.name for reason in PauseReason))
"""Codes by number."""


REPORTED_NONE: Final = 0
REPORTED_MISSED: Final = 1
REPORTED_MET: Final = 2

REPORTED: Final[dict[int, bool | None]] = {REPORTED_NONE: None, REPORTED_MISSED: False, REPORTED_MET: True}
_CODES: Final = {verdict: code for code, verdict in REPORTED.items()}


def reported_code(met: bool | None) -> int:
    """The `detail` of a completion with which the caller sent the verdict `met`."""
    return _CODES[met]


def insert(facts: tuple[Fact, ...], fact: Fact) -> tuple[Fact, ...]:
    """`facts` with `fact` where it belongs in time; after those of the same instant (M6, K6)."""
    place = bisect_right(facts, fact.at, key=instant_of)
    return (*facts[:place], fact, *facts[place:])


def up_to(facts: tuple[Fact, ...], at: int) -> tuple[Fact, ...]:
    """Those of `facts` that had taken effect at `at` (UTC epoch ms), that very instant included."""
    return facts[: bisect_right(facts, at, key=instant_of)]


def first_difference(before: tuple[Fact, ...], after: tuple[Fact, ...]) -> int:
    """The place of the first fact that is not the same in both; behind them all, where one has no more."""
    for place, (was, now) in enumerate(zip(before, after, strict=False)):
        if was is not now and was != now:
            return place
    return min(len(before), len(after))


def instant_of(fact: Fact) -> int:
    """When a fact took effect, UTC epoch ms; the key by which facts are in order."""
    return fact.at
