"""The near part of the timing wheel: what wakes soon is in memory, the rest in SQLite.

The wheel holds every stored wake before `loaded_until`, and nothing at or after it. So memory and start-up
follow what is due soon, not the number of tickets.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from slad.core.instants import MINUTE_MS
from slad.core.wheel import INSTANT_LIMIT_MS, TimingWheel
from slad.storage.store import Store

HORIZON_MS: Final = 10 * MINUTE_MS
"""How far ahead wakes are held in memory."""

REFILL_MS: Final = HORIZON_MS // 2
"""More is read when less than this is in memory."""

PAGE: Final = 4_096
"""Wakes that are read at once; bounds the time for which the event loop is blocked."""


class TimersView(NamedTuple):
    """What is in memory, for those who look; instants in UTC epoch ms."""

    levels: list[int]
    """Timers by level of the wheel, level 0 (ms) first; `late` ones are in none."""
    late: int
    """Timers that were due already when they were armed, and wait beside the wheel."""
    overdue: int
    """Of all: those whose instant has passed, also when they wait for a commit that does not succeed."""
    next_at: int | None
    """The earliest instant; None: there is no timer."""
    loaded_until: int


class Timers:
    """Wakes of trackings, by key. Instants in UTC epoch ms.

    Call `set` only after the commit of a change, and read pages only while no commit is under way: then the
    stored wakes and those in memory agree.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # At the beginning of time, so that a backlog is ahead of it and pops in order (C5).
        self._wheel = TimingWheel(0)
        self.loaded_until = 0
        """Wakes before this instant are in memory."""
        self._taken: dict[int, int] = {}
        """The first wake of each tracking that was popped and is not settled, by key."""

    def __len__(self) -> int:
        return len(self._wheel) + sum(key not in self._wheel for key in self._taken)

    def fill(self, until: int) -> None:
        """Reads the wakes up to `until` and a horizon beyond, unless enough are in memory."""
        expiry = self._wheel.next_expiry()
        while self.loaded_until <= until + REFILL_MS and (expiry is None or expiry > until):
            self._read_page(until + HORIZON_MS)
            expiry = self._wheel.next_expiry()

    def pop(self, until: int) -> tuple[int, int] | None:
        """(wake, key) of the earliest wake up to `until` that is in memory.

        It is not armed any more, and waits to be settled: by `settle`, `restore` or `give_up`.
        """
        timer = self._wheel.pop(min(until, self.loaded_until - 1))
        if timer is not None:
            self._taken.setdefault(timer[1], timer[0])
        return timer

    def has_due(self, until: int) -> bool:
        """Whether `fill` and `pop` may have something up to `until`."""
        expiry = self._wheel.next_expiry()
        return (expiry is not None and expiry <= until) or self.loaded_until <= until

    def next_wake(self) -> int:
        """When to look again: a timer may be due then, or more is to be read."""
        refill = self.loaded_until - REFILL_MS
        expiry = self._wheel.next_expiry()
        return refill if expiry is None else min(expiry, refill)

    def look(self, now: int) -> TimersView:
        """What is in memory, as of `now`."""
        wheel, taken = self._wheel, self._taken
        overdue = wheel.due(now) + sum(
            wake_at <= now and (wheel.deadline_of(key) or INSTANT_LIMIT_MS) > now
            for key, wake_at in taken.items()
        )
        deadlines = [*taken.values(), wheel.next_deadline() or INSTANT_LIMIT_MS]
        next_at = min(deadlines)
        return TimersView(
            wheel.occupancy(),
            wheel.overdue,
            overdue,
            None if next_at == INSTANT_LIMIT_MS else next_at,
            self.loaded_until,
        )

    def set(self, tracking_key: int, wake_at: int | None) -> None:
        """Says when a tracking wakes."""
        if wake_at is not None and wake_at < self.loaded_until:
            self._wheel.arm(tracking_key, wake_at)
        else:
            self._wheel.cancel(tracking_key)

    def settle(self) -> None:
        """What was popped is committed."""
        self._taken.clear()

    def restore(self) -> None:
        """Takes the wakes of what was popped from the database again: its commit failed."""
        for key in self._taken:
            self.set(key, self._store.wake_of(key))
        self._taken.clear()

    def give_up(self, tracking_key: int) -> None:
        """Says that what was popped cannot fire: it is not armed again."""
        self._taken.pop(tracking_key, None)

    def rewind(self, now: int) -> None:
        """The clock was set back."""
        if now < self._wheel.now:
            self._wheel.rewind(now)

    def _read_page(self, end: int) -> None:
        rows = self._store.wakes(self.loaded_until, end, PAGE)
        if len(rows) < PAGE:
            self.loaded_until = end
        elif rows[0][0] < rows[-1][0]:
            # There may be more at the last instant; it begins the next page.
            self.loaded_until = rows[-1][0]
            rows = [row for row in rows if row[0] < self.loaded_until]
        else:
            rows = self._store.wakes_at(rows[0][0])
            self.loaded_until = rows[0][0] + 1
        for wake_at, tracking_key in rows:
            self._wheel.arm(tracking_key, wake_at)
