"""What the local engine counts, and how it is told (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from slad.core.events import Event, EventType, Phase
from slad.core.metrics import MS_PER_SECOND, Histogram, Metric, MetricKind, Sample, durations
from slad.storage.rows import EventRow

if TYPE_CHECKING:
    from slad.engine.engine import SlaEngine

BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
"""Commands of a commit; `MAX_COMMANDS` is the last."""

LATENESS_BOUNDS_MS: Final = (
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000, 300_000, 3_600_000, 86_400_000,
)  # fmt: skip
"""From a timer that is on time to a downtime of a day."""


class TurnReport(NamedTuple):
    """One turn of the pump that came to a commit. Instants in ns of `time.perf_counter_ns`."""

    began: int
    built: int
    ended: int
    causes: Sequence[Any]
    """What `TurnObserver.cause` said of each command in it."""
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


class EngineMeasures:
    """The engine's own counts. Plain data, for the event loop's thread; never read before a commit's end."""

    __slots__ = (
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
    )

    def __init__(self) -> None:
        self.commit_time = durations(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000)
        self.commit_commands = Histogram((0, *BATCH_BOUNDS))
        self.commit_failures = 0
        self.last_commit_at: int | None = None
        """UTC epoch ms; None before the first."""
        self.last_commit_ns = 0
        """How long it took."""
        self.events = [0] * (max(EventType) + 1)
        """Committed events by type."""
        self.breaches = [0] * (max(Phase) + 1)
        """Committed crossings of 100 % by phase."""
        self.lateness = Histogram(LATENESS_BOUNDS_MS, MS_PER_SECOND)
        """From the instant of a threshold that a timer fired to the end of its commit, ms."""
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
            assert event.phase is not None
            if event.crossing.breach and event.type is EventType.THRESHOLD_REACHED:
                self.breaches[event.phase] += 1

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


EVENTS = Metric("slad_events_total", MetricKind.COUNTER, "Events committed.", ("type",))
BREACHES = Metric("slad_breaches_total", MetricKind.COUNTER, "Clocks that reached 100 %.", ("phase",))
LATENESS = Metric(
    "slad_threshold_lateness_seconds",
    MetricKind.HISTOGRAM,
    "From the instant of a threshold that a timer fired to the end of the commit that announced it.",
)
ARMED = Metric(
    "slad_timers_armed", MetricKind.GAUGE, "Timers in memory: those that are due within the horizon."
)
OVERDUE = Metric("slad_timers_overdue", MetricKind.GAUGE, "Timers in memory whose instant has passed.")
MOST_OVERDUE = Metric(
    "slad_timers_overdue_seconds",
    MetricKind.GAUGE,
    "How long ago the earliest timer in memory was due; 0: it is not.",
)
QUEUE = Metric("slad_queue_depth", MetricKind.GAUGE, "Commands that wait for their turn.")
COMMIT_TIME = Metric(
    "slad_commit_duration_seconds", MetricKind.HISTOGRAM, "Time on the writer's thread, sync included."
)
COMMIT_COMMANDS = Metric(
    "slad_commit_commands", MetricKind.HISTOGRAM, "Commands that shared a commit; 0: timers alone."
)
COMMIT_FAILURES = Metric(
    "slad_commit_failures_total", MetricKind.COUNTER, "Commits that failed; nothing of them is there."
)
LAST_COMMIT = Metric(
    "slad_last_commit_timestamp_seconds", MetricKind.GAUGE, "When the last commit ended, by slad's clock."
)
WRITABLE = Metric("slad_writable", MetricKind.GAUGE, "1: commands are carried out; 0: the disk refuses.")
HEAD = Metric("slad_head_sequence", MetricKind.GAUGE, "The sequence of the newest event.")
STEPS = Metric(
    "slad_clock_steps_total",
    MetricKind.COUNTER,
    "Steps of the wall clock, of 500 ms or more.",
    ("direction",),
)


class EngineMetrics:
    """The local engine as a `MetricSource`."""

    metrics: Final = (
        EVENTS, BREACHES, LATENESS, ARMED, OVERDUE, MOST_OVERDUE, QUEUE, COMMIT_TIME, COMMIT_COMMANDS,
        COMMIT_FAILURES, LAST_COMMIT, WRITABLE, HEAD, STEPS,
    )  # fmt: skip

    def __init__(self, engine: SlaEngine, now: Callable[[], int]) -> None:
        self._engine = engine
        self._now = now

    async def samples(self) -> Iterable[Sample]:
        """The values now."""
        engine, counts, now = self._engine, self._engine.measures, self._now()
        timers = engine.look_at_timers(now)
        late_ms = 0 if timers.next_at is None else max(0, now - timers.next_at)
        found = [
            *(Sample(EVENTS, counts.events[kind], (kind.name,)) for kind in EventType),
            *(Sample(BREACHES, counts.breaches[phase], (phase.name.lower(),)) for phase in Phase),
            Sample(LATENESS, counts.lateness),
            Sample(ARMED, engine.timers_in_memory),
            Sample(OVERDUE, timers.overdue),
            Sample(MOST_OVERDUE, late_ms / MS_PER_SECOND),
            Sample(QUEUE, engine.waiting),
            Sample(COMMIT_TIME, counts.commit_time),
            Sample(COMMIT_COMMANDS, counts.commit_commands),
            Sample(COMMIT_FAILURES, counts.commit_failures),
            Sample(WRITABLE, int(engine.writable)),
            Sample(HEAD, engine.sequence),
            Sample(STEPS, counts.clock_steps_forward, ("forward",)),
            Sample(STEPS, counts.clock_steps_backward, ("backward",)),
        ]
        if counts.last_commit_at is not None:
            found.append(Sample(LAST_COMMIT, counts.last_commit_at / MS_PER_SECOND))
        return found
