"""Callbacks for what the engine does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from slad.storage.rows import EventRow


class TurnReport(NamedTuple):
    """One turn of the pump that came to a commit. Instants in ns of `time.perf_counter_ns`."""

    began: int
    built: int
    ended: int
    causes: Sequence[Any]
    """What `TurnObserver.cause` said of each job in it, or who put it."""
    commands: int
    events: int
    error: str
    """Empty when the commit succeeded."""


class TurnObserver(Protocol):
    """Follows commands into the turns that carry them out; for traces."""

    def cause(self) -> Any:
        """What is to be known of the command that is being submitted; kept until its turn."""
        ...

    def turn(self, report: TurnReport) -> None:
        """A turn has come to a commit. Must not raise, and must be quick."""
        ...


def _nobody(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Listeners:
    """Called on the event loop; must be quick and must not raise."""

    events_committed: Callable[[list[EventRow]], None] = _nobody
    """The events of a turn, in order."""
    turn_begins: Callable[[], None] = _nobody
    """At least once a second, but for the time that a commit takes."""
    writable_changes: Callable[[bool], None] = _nobody
    """False: no commit succeeds, for a reason that is new. True: one has succeeded again."""
    observer: TurnObserver | None = None
    """Hears of every command and turn; None costs nothing."""
