"""How many open cycles are past 100 % right now. Deadlines are not stored, so the number is kept up to date.

Each commit says what it changed. What was overdue at the start is found by going through the open tickets
once (see `slad.engine.overdue_metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping


class OverdueCycles:
    """The trackings that have overdue cycles. For the event loop's thread."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._told: set[int] | None = set()
        """What commits have told of so far; None: all trackings are known."""

    @property
    def total(self) -> int | None:
        """How many cycles are overdue; None while it is not known."""
        return sum(self._counts.values()) if self._told is None else None

    def committed(self, overdue: Mapping[int, int]) -> None:
        """Takes in a commit: the overdue cycles of the trackings that it changed, by key."""
        for key, count in overdue.items():
            if count:
                self._counts[key] = count
            else:
                self._counts.pop(key, None)
        if self._told is not None:
            self._told.update(overdue)

    def found(self, overdue: Mapping[int, int]) -> None:
        """Takes in the result of the look through open tickets; what commits have said is newer."""
        if self._told is not None:
            self._counts.update((key, count) for key, count in overdue.items() if key not in self._told)

    def complete(self) -> None:
        """Everything has been looked at."""
        self._told = None
