"""Stored values that cannot be read: the reader names each, leaves it out, and never returns it."""

from __future__ import annotations

import logging

from slad.core.errors import Refusal, Refused

log = logging.getLogger(__name__)


Key = int | tuple[str, int]
"""What a row of a table is known by."""


class Unreadable(Refused):
    """A stored value is not what was written. `table` and `key` say where it is."""

    def __init__(self, table: str, key: Key, what: str, why: str) -> None:
        super().__init__(Refusal.DATA_LOSS, "UNREADABLE", f"{what} cannot be read: {why}; run slad doctor")
        self.table = table
        self.key = key
        self.what = what
        self.why = why


class UnreadableValues:
    """What could not be read since the start, each value once. For any thread."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, Key]] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, error: Unreadable) -> None:
        """Logs a value when it is met for the first time."""
        place = error.table, error.key
        if place not in self._seen:
            self._seen.add(place)
            log.error("%s cannot be read and is left out: %s; run slad doctor", error.what, error.why)
