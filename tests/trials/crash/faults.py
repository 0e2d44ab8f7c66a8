"""What a trial can find wrong."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import NamedTuple


class FaultKind(StrEnum):
    LOST = "lost"
    """Something acknowledged, or an event once seen, is not there."""
    MISSING = "missing"
    """A threshold that is due was not delivered."""
    DOUBLED = "doubled"
    """One crossing under two ids or twice without a retraction, or one event_id at two places."""
    HALF = "half done"
    """A command that was not acknowledged has happened in part."""
    CHANGED = "changed"
    """An event, or the reply to a repeated request_id, is another than before."""
    DISORDER = "out of order"
    EARLY = "early"
    """A threshold fired before its instant."""
    UNEXPLAINED = "unexplained"
    """State or an event that no command accounts for."""
    WRONG_ANSWER = "wrong answer"
    """A reply or a refusal that the rules do not give."""
    REGRESSED = "acknowledgement regressed"
    DAMAGED = "database damaged"


class Fault(NamedTuple):
    kind: FaultKind
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}"


class FaultError(Exception):
    """Raised where a check finds a fault; carries it."""

    def __init__(self, kind: FaultKind, where: str, what: str) -> None:
        self.fault = Fault(kind, where, what)
        super().__init__(str(self.fault))


class Faults(list[Fault]):
    """All that was found, in order."""

    def add(self, kind: FaultKind, where: str, what: str) -> None:
        self.append(Fault(kind, where, what))

    def by_kind(self) -> Counter[FaultKind]:
        return Counter(fault.kind for fault in self)
