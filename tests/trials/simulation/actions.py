"""What can happen in a simulated world. Values that print as they are written; times in whole minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from slad.storage import kill_points


@dataclass(frozen=True)
class Promise:
    """Terms. Targets are whole hundreds of minutes, so that every threshold falls on a whole minute."""

    response: int
    resolution: int
    notify: tuple[int, ...] = (50, 75, 90)
    escalate: tuple[int, int, int] = (0, 0, 0)
    office: bool = False
    """Monday to Friday, 09:00 to 17:00 UTC; otherwise every hour counts."""

    @property
    def targets(self) -> dict[str, int]:
        both = {"response": self.response, "resolution": self.resolution}
        return {phase: target for phase, target in both.items() if target}

    def but(self, notify: tuple[int, ...]) -> Promise:
        """The same, with `notify` where it says nothing of whom to tell."""
        return self if self.notify else replace(self, notify=notify)

    @property
    def percents(self) -> list[int]:
        return sorted({*self.notify, *(percent for percent in self.escalate if percent), 100})


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


@dataclass(frozen=True)
class Fact:
    """pause, resume, respond, resolve or cancel."""

    kind: str
    ago: int | None = None
    """`effective_at` lies this far back; None: it is not given."""
    reason: int = 0


@dataclass(frozen=True)
class Retarget:
    promise: Promise
    suppress_past: bool = False


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
