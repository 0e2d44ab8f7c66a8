"""The engine's counts as metrics (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from slad.core.events import EventType
from slad.core.ledger import Verdict
from slad.core.metrics import MS_PER_SECOND, ClockLabels, Metric, MetricKind, Sample
from slad.engine.engine import SlaEngine

EVENTS = Metric("slad_events_total", MetricKind.COUNTER, "Events committed.", ("type",))
BREACHES = Metric("slad_breaches_total", MetricKind.COUNTER, "Clocks that reached 100 %.", ("phase", "clock"))
VERDICTS = Metric(
    "slad_verdicts_total",
    MetricKind.COUNTER,
    "Cycles that closed, by slad's verdict: met, missed, or none.",
    ("clock", "verdict"),
)
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
    "How long ago the earliest timer in memory was due; 0: it is not due.",
)
QUEUE = Metric("slad_queue_depth", MetricKind.GAUGE, "Commands that wait for their turn.")
COMMIT_TIME = Metric(
    "slad_commit_duration_seconds", MetricKind.HISTOGRAM, "Time on the writer's thread, sync included."
)
COMMIT_COMMANDS = Metric(
    "slad_commit_commands", MetricKind.HISTOGRAM, "Commands that shared a commit; 0: timers alone."
)
COMMIT_FAILURES = Metric(
    "slad_commit_failures_total", MetricKind.COUNTER, "Commits that failed; nothing of them took effect."
)
LAST_COMMIT = Metric(
    "slad_last_commit_timestamp_seconds", MetricKind.GAUGE, "When the last commit ended, by slad's clock."
)
WRITABLE = Metric("slad_writable", MetricKind.GAUGE, "1: commands are carried out; 0: the disk refuses them.")
HEAD = Metric("slad_head_sequence", MetricKind.GAUGE, "The sequence of the newest event.")
STEPS = Metric(
    "slad_clock_steps_total",
    MetricKind.COUNTER,
    "Steps of the wall clock, of 500 ms or more.",
    ("direction",),
)


class EngineMetrics:
    """The engine as a `MetricSource`."""

    metrics: Final = (
        EVENTS, BREACHES, VERDICTS, LATENESS, ARMED, OVERDUE, MOST_OVERDUE, QUEUE, COMMIT_TIME,
        COMMIT_COMMANDS, COMMIT_FAILURES, LAST_COMMIT, WRITABLE, HEAD, STEPS,
    )  # fmt: skip

    def __init__(self, engine: SlaEngine, now: Callable[[], int]) -> None:
        self._engine = engine
        self._now = now

    async def samples(self) -> Iterable[Sample]:
        """The values now."""
        engine, counts, now = self._engine, self._engine.counts, self._now()
        timers = engine.look_at_timers(now)
        late_ms = 0 if timers.next_at is None else max(0, now - timers.next_at)
        found = [
            *(Sample(EVENTS, counts.events[kind], (kind.name,)) for kind in EventType),
            *(Sample(BREACHES, n, ClockLabels.labels(clock)) for clock, n in counts.breaches.items()),
            *(
                Sample(VERDICTS, counts.verdicts[clock, verdict], (clock, verdict.name.lower()))
                for clock in counts.breaches
                for verdict in (Verdict.MET, Verdict.MISSED, Verdict.NONE)
            ),
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
