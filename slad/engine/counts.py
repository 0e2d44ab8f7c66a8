"""What the engine counts about itself, as plain numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from slad.core.events import Event, EventType
from slad.core.metrics import MS_PER_SECOND, ClockLabels, Histogram, durations
from slad.engine.overdue import OverdueCycles
from slad.storage.rows import EventRow, LedgerRow

BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
"""Commands of a commit; `MAX_COMMANDS` is the last."""

LATENESS_BOUNDS_MS: Final = (
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000, 300_000, 3_600_000, 86_400_000,
)  # fmt: skip
"""From a timer that is on time to a downtime of a day."""


class EngineCounts:
    """The engine's own counts. Plain data, for the event loop's thread; never read before a commit's end."""

    __slots__ = (
        "_clocks",
        "breaches",
        "clock_steps_backward",
        "clock_steps_forward",
        "commit_commands",
        "commit_failures",
        "commit_time",
        "events",
        "last_commit_at",
        "last_commit_ns",
        "lateness",
        "overdue",
        "verdicts",
    )

    def __init__(self, clocks: ClockLabels) -> None:
        self._clocks = clocks
        self.commit_time = durations(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000)
        self.commit_commands = Histogram((0, *BATCH_BOUNDS))
        self.commit_failures = 0
        self.last_commit_at: int | None = None
        """UTC epoch ms; None before the first."""
        self.last_commit_ns = 0
        """How long it took."""
        self.events = [0] * (max(EventType) + 1)
        """Committed events by type."""
        self.breaches = dict.fromkeys(clocks.clocks, 0)
        """Committed crossings of 100 % by clock, as it is counted."""
        self.lateness = Histogram(LATENESS_BOUNDS_MS, MS_PER_SECOND)
        """From the instant of a threshold that a timer fired to the end of its commit, ms."""
        self.overdue = OverdueCycles()
        self.verdicts: Counter[tuple[str, int]] = Counter()
        """Cycles that closed, by clock, as it is counted, and Verdict."""
        self.clock_steps_forward = 0
        self.clock_steps_backward = 0

    def committed(
        self, took_ns: int, commands: int, events: Sequence[EventRow], crossings: Sequence[Event], now: int
    ) -> None:
        """A commit has succeeded, at `now` (UTC epoch ms)."""
        self.commit_time.observe(took_ns)
        self.commit_commands.observe(commands)
        self.last_commit_at, self.last_commit_ns = now, took_ns
        counts = self.events
        for row in events:
            counts[row.type] += 1
        for event in crossings:
            assert event.crossing is not None
            if event.crossing.breach and event.type is EventType.THRESHOLD_REACHED:
                assert event.about is not None
                self.breaches[self._clocks.of(event.about.clock)] += 1

    def closed(self, rows: Sequence[LedgerRow], overdue: Mapping[int, int]) -> None:
        """Rows of the ledger are committed; what only revises an earlier one is not counted.

        `overdue` has the open cycles past 100 % of trackings that the commit changed, by key.
        """
        self.overdue.committed(overdue)
        for row in rows:
            if row.revision == 1:
                self.verdicts[self._clocks.of(row.clock), row.verdict] += 1

    def fired(self, crossings: Sequence[Event], now: int) -> None:
        """Thresholds that timers fired are committed, at `now` (UTC epoch ms)."""
        for event in crossings:
            if event.type is EventType.THRESHOLD_REACHED:
                # A clock that was set back meanwhile does not make it early.
                self.lateness.observe(max(0, now - event.occurred_at))

    def stepped(self, by_ms: int) -> None:
        """The wall clock was found stepped."""
        if by_ms > 0:
            self.clock_steps_forward += 1
        else:
            self.clock_steps_backward += 1
