"""What is counted and logged of calls. On the way of every call, so it costs next to nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, Final

from slad.core.errors import InvalidField, Refused
from slad.core.metrics import TWO_CLOCKS, ClockLabels, Metric, MetricKind, Sample, durations
from slad.service.error_details import code_and_reason

log = logging.getLogger(__name__)

BUCKETS_MS: Final = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)

OK: Final = "OK"
CANCELLED: Final = "CANCELLED"

ABOUT: Final = ("tenant_id", "ticket_id", "request_id", "consumer")
"""The fields of a request that a log line tells; they name things and are no secrets."""

MAX_LOGGED: Final = 200
"""Characters of a field in a log line: what is refused for its length must not fill the log."""

NS_PER_MS: Final = 1_000_000


class CallLog:
    """Log lines about calls: refused ones (debug), and slow ones (warning, at most one a second).

    A call is slow that takes longer than `slow_ms`; 0: none is.
    """

    def __init__(self, slow_ms: int = 0) -> None:
        self._slow_ns = slow_ms * NS_PER_MS or None
        self._next_slow_line = 0.0
        self._untold = 0

    def ended(self, rpc: str, request: Any, took_ns: int) -> None:
        """A call has been answered."""
        if self._slow_ns is not None and took_ns > self._slow_ns:
            self._slow(rpc, request, took_ns)

    def refused(self, rpc: str, request: Any, error: Exception, code: str, reason: str) -> None:
        """A call has been refused."""
        if log.isEnabledFor(logging.DEBUG):
            extra = {"rpc": rpc, "code": code, "reason": reason, **about(request)}
            if isinstance(error, InvalidField):
                extra["field"] = error.field[:MAX_LOGGED]
            log.debug("refused: %s", _text(error), extra=extra)

    def _slow(self, rpc: str, request: Any, took_ns: int) -> None:
        # When the disk is slow every call is, and the log must not add to it.
        now = monotonic()
        if now < self._next_slow_line:
            self._untold += 1
            return
        extra = {"rpc": rpc, "ms": took_ns // NS_PER_MS, **about(request)}
        if self._untold:
            extra["more"] = self._untold
        self._next_slow_line, self._untold = now + 1, 0
        log.warning("slow call", extra=extra)


def about(request: Any) -> dict[str, Any]:
    """What a log line tells about a request: whose, which ticket, which request."""
    found = {}
    for name in ABOUT:
        value = getattr(request, name, None)
        if value:
            found[name] = value[:MAX_LOGGED]
    return found


def _text(error: Exception) -> str:
    message = error.message if isinstance(error, InvalidField | Refused) else type(error).__name__
    return message[:MAX_LOGGED]


class CallMeter:
    """The counts of one RPC. `begun` is to be incremented by the one who lets calls in."""

    __slots__ = ("begun", "durations", "failed", "refusals", "rpc", "succeeded")

    def __init__(self, rpc: str) -> None:
        self.rpc = rpc
        self.begun = 0
        self.succeeded = 0
        # There from the beginning, so that Prometheus sees the first one as an increase.
        self.failed: Counter[str] = Counter({"INTERNAL": 0})
        """By gRPC code."""
        self.refusals: Counter[str] = Counter()
        """By reason."""
        self.durations = durations(*BUCKETS_MS)

    @property
    def open(self) -> int:
        """Calls under way."""
        return self.begun - self.succeeded - sum(self.failed.values())

    def fail(self, error: BaseException) -> tuple[str, str]:
        """Counts a call that ended with `error`; its code and reason."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            code, reason = CANCELLED, ""
        else:
            code, reason = code_and_reason(error)
        self.failed[code] += 1
        if reason:
            self.refusals[reason] += 1
        return code, reason


CALLS = Metric("slad_calls_total", MetricKind.COUNTER, "Calls that ended, by gRPC code.", ("rpc", "code"))
DURATION = Metric(
    "slad_call_duration_seconds",
    MetricKind.HISTOGRAM,
    "How long successful calls took; without streams of events.",
    ("rpc",),
)
OPEN = Metric("slad_calls_open", MetricKind.GAUGE, "Calls and streams under way.", ("rpc",))
REFUSALS = Metric(
    "slad_refusals_total", MetricKind.COUNTER, "Refused calls, by reason (docs/errors.md).", ("rpc", "reason")
)
COMMANDS = Metric(
    "slad_batched_commands_total",
    MetricKind.COUNTER,
    "Commands that came through ExecuteSla and were answered, by gRPC code.",
    ("command", "code"),
)
DIFFERENCES = Metric(
    "slad_verdict_differences_total",
    MetricKind.COUNTER,
    "Completions for which the caller reported another verdict than slad's (M3).",
    ("phase", "clock"),
)


class CallMeters:
    """The meters of all RPCs, as a `MetricSource`."""

    metrics: Final = (CALLS, DURATION, OPEN, REFUSALS, COMMANDS, DIFFERENCES)

    def __init__(self, clock_labels: ClockLabels = TWO_CLOCKS) -> None:
        self._meters: dict[str, CallMeter] = {}
        self.commands: Counter[tuple[str, str]] = Counter({("start", OK): 0})
        """Commands of ExecuteSla by their field of SlaCommand and gRPC code."""
        self._clock_labels = clock_labels
        self._verdict_differences = dict.fromkeys(clock_labels.clocks, 0)

    def verdict_differed(self, clock: str) -> None:
        """A caller reported another verdict on a clock than slad's (M3)."""
        self._verdict_differences[self._clock_labels.of(clock)] += 1

    def meter(self, rpc: str) -> CallMeter:
        """The meter of an RPC, by its name without the service's: they differ within slad."""
        return self._meters.setdefault(rpc, CallMeter(rpc))

    @property
    def meters(self) -> Mapping[str, CallMeter]:
        """By RPC."""
        return self._meters

    async def samples(self) -> Iterable[Sample]:
        """The values now."""
        found = []
        for rpc, meter in self._meters.items():
            ended = {OK: meter.succeeded, **meter.failed}
            found += [Sample(CALLS, count, (rpc, code)) for code, count in ended.items()]
            found += [Sample(REFUSALS, count, (rpc, reason)) for reason, count in meter.refusals.items()]
            found.append(Sample(OPEN, meter.open, (rpc,)))
            if meter.durations.count:
                found.append(Sample(DURATION, meter.durations, (rpc,)))
        found += [Sample(COMMANDS, count, labels) for labels, count in self.commands.items()]
        differences = self._verdict_differences.items()
        return [*found, *(Sample(DIFFERENCES, n, ClockLabels.labels(clock)) for clock, n in differences)]
