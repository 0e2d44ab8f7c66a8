"""What is to go wrong with commits, and what became of them."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from slad.storage import kill_points
from tests.trials.simulation.actions import Kill
from tests.trials.simulation.system import Killed


class Faults:
    """Called at every kill point of slad."""

    def __init__(self, crash: Callable[[float, int], None]) -> None:
        self._crash = crash
        self._kill: Kill | None = None
        self._until_kill = 0
        self._failing: list[apsw.Error] = []
        self.full = False
        self.killed: Kill | None = None
        """How slad has died; nothing is heard of it any more."""
        self.struck = False
        """Whether a commit has failed since this was last set to False."""
        self.carried_out: list[int] = []
        """Commands of the turn that is being built, by their place in the step."""
        self._committing: list[int] = []
        self.durable: set[int] = set()
        """Commands of this step whose commit was completed."""

    def arm(self, kill: Kill) -> None:
        if kill.point:
            self._kill, self._until_kill = kill, kill.commits
        else:
            self._die(kill)

    def fail(self, commits: int, *, full: bool) -> None:
        error: Callable[[str], apsw.Error] = apsw.FullError if full else apsw.IOError
        self._failing = [error("simulated") for _ in range(commits)]

    def revive(self) -> None:
        self.killed = None

    def __call__(self, point: str) -> None:
        if self.killed:
            raise Killed
        if point == kill_points.TURN_BUILT:
            self._committing, self.carried_out = self.carried_out, []
        elif point == kill_points.COMMITTED:
            self.durable.update(self._committing)
        elif point == kill_points.ROWS_WRITTEN and (self.full or self._failing):
            self.struck = True
            raise apsw.FullError("simulated") if self.full else self._failing.pop()
        if self._kill and self._kill.point == point:
            self._until_kill -= 1
            if not self._until_kill:
                kill, self._kill = self._kill, None
                self._die(kill)
                raise Killed

    def _die(self, kill: Kill) -> None:
        self.killed = kill
        self._crash(kill.chance, kill.seed)
