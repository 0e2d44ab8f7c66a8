"""What can happen in a simulated world. Values that print as they are written; times in whole minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import msgspec

from slad.core.instants import MINUTE_MS
from slad.core.terms import ClockKind, ClockTerms, Terms
from slad.storage import kill_points

EVERY_HOUR, OFFICE, NIGHTS = 0, 1, 2
"""The keys of the schedules that there are."""

NONE: Final = (0, 0, 0)
CLOCKS: Final = {
    clock.name: clock
    for clock in (
        ClockTerms("next", ClockKind.NEXT_REPLY, 100 * MINUTE_MS, (), NONE, OFFICE),
        ClockTerms("updates", ClockKind.PERIODIC_UPDATE, 200 * MINUTE_MS, (25,), NONE, OFFICE, ("vendor",)),
        ClockTerms("fix", ClockKind.FROM_START, 500 * MINUTE_MS, (), (0, 0, 110), EVERY_HOUR, ()),
        ClockTerms("team", ClockKind.OWNERSHIP, 100 * MINUTE_MS, (70,), NONE, OFFICE, None, "b"),
        ClockTerms("anybody", ClockKind.OWNERSHIP, 200 * MINUTE_MS, (), NONE, NIGHTS),
        ClockTerms("resolution", ClockKind.RESOLUTION, 0, (), NONE, OFFICE, ("AWAITING_CLIENT",)),
    )
}
"""The named clocks that a ticket may have. Those of OFFICE count by the ticket's own schedule."""

ONE_CYCLE: Final = ("response", *(clock.name for clock in CLOCKS.values() if clock.has_one_cycle))
"""The clocks whose cycle is the same whenever it opens (K4)."""
FROM_START: Final = -(10**9)
"""Stands for its opening."""


@dataclass(frozen=True)
class Promise:
    """Terms. Targets are whole hundreds of minutes, so that every threshold falls on a whole minute."""

    response: int
    resolution: int
    notify: tuple[int, ...] = (50, 75, 90)
    escalate: tuple[int, int, int] = (0, 0, 0)
    office: bool = False
    """Monday to Friday, 09:00 to 17:00 UTC; otherwise every hour counts."""
    clocks: tuple[str, ...] = ()
    """Names of CLOCKS."""

    @property
    def terms(self) -> Terms:
        """As the core has them."""
        key = OFFICE if self.office else EVERY_HOUR
        return Terms(
            "policy",
            "",
            self.response * MINUTE_MS,
            self.resolution * MINUTE_MS,
            self.notify,
            self.escalate,
            key,
            tuple(replace_schedule(CLOCKS[name], key) for name in self.clocks),
        )

    def but(self, notify: tuple[int, ...]) -> Promise:
        """The same, with `notify` where it says nothing of whom to tell."""
        return self if self.notify else replace(self, notify=notify)


def replace_schedule(clock: ClockTerms, of_ticket: int) -> ClockTerms:
    """The clock of a ticket that counts by that schedule."""
    return msgspec.structs.replace(clock, schedule_key=of_ticket) if clock.schedule_key == OFFICE else clock


class Existing(StrEnum):
    KEEP = "KEEP"
    REPLACE = "REPLACE"
    FAIL = "FAIL"
    CONTINUE_CANCELLED = "CONTINUE_CANCELLED"
    CONTINUE_OR_NEW = "CONTINUE_OR_NEW"


@dataclass(frozen=True)
class Start:
    promise: Promise
    ago: int | None = None
    """The start lies this far back."""
    existing: Existing = Existing.KEEP
    suppress_past: bool = False
    unjudged_response: bool = False


@dataclass(frozen=True)
class Fact:
    """What happened, by its name in tests/core/happenings.py; of REOPEN there is another action."""

    kind: str
    ago: int | None = None
    """`effective_at` lies this far back; None: it is not given."""


@dataclass(frozen=True)
class Retarget:
    promise: Promise
    suppress_past: bool = False
    started: int | None = None
    """The start is moved to so far back; None: it stays."""


@dataclass(frozen=True)
class Reopen:
    restart: bool = False
    ago: int | None = None


What = Start | Fact | Retarget | Reopen


@dataclass(frozen=True)
class Command:
    ticket: str
    what: What
    tenant: str = "acme"
    """Empty: it is for slad to find (M7)."""
    request_id: str = ""


@dataclass(frozen=True)
class Send:
    """Commands that arrive together, and so may share a commit."""

    commands: tuple[Command, ...]
    by_stream: bool = False
    """In one message of a stream (X1)."""


@dataclass(frozen=True)
class Pass:
    """Time passes. Either slad wakes at every instant it has to, or it sleeps through all of it."""

    minutes: int
    asleep: bool = False


@dataclass(frozen=True)
class StepClock:
    """The wall clock is set while slad runs."""

    minutes: int


@dataclass(frozen=True)
class Restart:
    """slad stops in order, and starts again after some time; the clock may have been set meanwhile."""

    minutes: int = 0


@dataclass(frozen=True)
class Kill:
    """slad dies at a point of a commit to come, the `commits`th from now; or at once, if `point` is empty.

    Of what was written and not synced, each sector survives with the `chance`; 1.0 is a killed process on a
    machine that goes on, anything less a power cut.
    """

    point: str = ""
    commits: int = 1
    minutes: int = 0
    """Until it runs again; negative: the clock was set back by then."""
    chance: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class FailCommits:
    """The next commits fail, when all of their rows are written."""

    commits: int
    full: bool


@dataclass(frozen=True)
class DiskFull:
    """Every commit fails until there is room again."""

    full: bool


@dataclass(frozen=True)
class Read:
    """A consumer reads a page; it connects first when it has to."""

    consumer: str


@dataclass(frozen=True)
class Acknowledge:
    """A consumer acknowledges a share of what it was sent since its acknowledgement; or what it must not."""

    consumer: str
    share: float = 1.0


@dataclass(frozen=True)
class Leave:
    """A consumer's connection breaks."""

    consumer: str


@dataclass(frozen=True)
class Sweep:
    """Retention does its work."""


Action = (
    Send | Pass | StepClock | Restart | Kill | FailCommits | DiskFull | Read | Acknowledge | Leave | Sweep
)

KILL_POINTS = ("", *kill_points.ALL)


@dataclass(frozen=True)
class Knobs:
    """Sizes inside slad, small enough that their edges are met."""

    horizon_minutes: int = 240
    timers_page: int = 4096
    max_timers: int = 256
    max_commands: int = 128
    hub_tail: int = 8192
    hub_page: int = 512
    sweep_size: int = 500
    max_events: int = 10_000_000
