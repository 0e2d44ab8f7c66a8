"""The small worlds that are searched whole: a ticket's terms, what may happen to it, and when.

A ticket starts on a Monday at 16:00; the office closes an hour later, and opens at 09:00.
"""

from __future__ import annotations

from typing import NamedTuple

from slad.core.instants import MINUTE_MS
from slad.core.terms import ClockKind, ClockTerms, Terms
from tests.core.tickets import at

MIDNIGHT = at("2026-03-02T00:00:00Z")
"""From which minutes count."""
START = 16 * 60
NEXT_DAY = 17 * 60
"""From the start to 09:00 of the day after."""
NONE = (0, 0, 0)


def named(name: str, kind: ClockKind, minutes: int, **terms: object) -> ClockTerms:
    """A clock with a threshold at half of its target."""
    return ClockTerms(name, kind, minutes * MINUTE_MS, (50,), NONE, 1, **terms)  # type: ignore[arg-type]


def promise(*clocks: ClockTerms, response: int = 30, resolution: int = 80) -> Terms:
    """Terms with targets in minutes; 0: no such clock."""
    return Terms("p", "", response * MINUTE_MS, resolution * MINUTE_MS, (50,), NONE, 1, clocks)


NEXT = named("next", ClockKind.NEXT_REPLY, 20)
UPDATES = named("updates", ClockKind.PERIODIC_UPDATE, 40, paused_by=("vendor",))
FIX = named("fix", ClockKind.FROM_START, 50, paused_by=())
TEAM = named("team", ClockKind.OWNERSHIP, 20, owner="b")
ANYBODY = named("anybody", ClockKind.OWNERSHIP, 30)


class World(NamedTuple):
    """What is searched: every order in which these happenings at these minutes may arrive."""

    terms: Terms
    happenings: tuple[str, ...]
    minutes: tuple[int, ...]
    """Since the start: when facts happen."""
    later: int
    """Another moment at which slad looks at the clock, and late facts arrive."""
    unjudged_response: bool = False
    retargets: tuple[Terms, ...] = ()
    """Other terms that it may be put under at any moment."""


WORLDS: dict[str, World] = {
    "replies": World(
        promise(NEXT, UPDATES),
        ("customer", "agent", "respond", "discard next", "pause for vendor", "resume"),
        (10, 35),
        NEXT_DAY + 20,
    ),
    "owners": World(
        promise(TEAM, ANYBODY, response=0),
        ("to a", "to b", "to nobody", "pause", "resume", "resolve", "reopen"),
        (10, 45),
        NEXT_DAY + 10,
    ),
    "reasons": World(
        promise(UPDATES, FIX, response=0),
        ("pause", "pause for vendor", "resume", "resume from vendor", "agent", "complete fix"),
        (10, 55),
        NEXT_DAY + 5,
    ),
    "ends": World(
        promise(NEXT, FIX),
        ("customer", "agent", "pause", "resolve", "cancel", "reopen", "complete fix"),
        (5, 20),
        60,
    ),
    "lapses": World(
        promise(NEXT),
        ("respond", "discard response", "customer", "agent", "resolve", "reopen"),
        (10, 35),
        70,
        unjudged_response=True,
    ),
    "terms": World(
        promise(NEXT, FIX),
        ("customer", "agent", "respond", "complete fix", "pause", "resume"),
        (10, 40),
        NEXT_DAY,
        retargets=(promise(NEXT, response=45), promise(UPDATES, FIX, response=0)),
    ),
}
