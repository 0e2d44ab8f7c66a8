"""How a target stands, and when it is to be asked again: backoff with jitter, and a circuit breaker."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from slad.config.sinks import RetrySettings
from slad.core.backoff import Backoff, jittered
from slad.core.instants import SECOND_MS

OPEN_AFTER: Final = 5
"""Failures, or refusals, in a row that open the circuit."""

MAX_RETRY_AFTER_S: Final = 3_600.0
"""The longest pause that a target may ask for."""


class SinkState(IntEnum):
    """How a sink stands. Numbers are those of the wire contract."""

    READY = 1
    """The last attempt went well, or there was none yet."""
    RETRYING = 2
    """The last attempt failed; another one follows soon."""
    OPEN = 3
    """The circuit is open: it tries one event at a time."""


@dataclass(slots=True)
class Tally:
    """What happened since the daemon started; instants in UTC epoch ms."""

    delivered: int = 0
    failures: int = 0
    last_delivered_at: int | None = None
    last_failed_at: int | None = None
    last_error: str = ""
    next_attempt_at: int | None = None
    """While the sink waits for its next attempt."""


class Circuit:
    """Counts what went wrong in a row, and says how long to wait.

    A pause is drawn from its upper half, so that targets which failed together are not asked together.
    """

    def __init__(self, settings: RetrySettings, draw: Callable[[], float] = random.random) -> None:
        self._backoff = Backoff(settings.backoff_min_ms / SECOND_MS, settings.backoff_max_ms / SECOND_MS)
        self._draw = draw
        self.failures = 0
        self.refusals = 0

    @property
    def state(self) -> SinkState:
        """How the target stands."""
        if max(self.failures, self.refusals) >= OPEN_AFTER:
            return SinkState.OPEN
        return SinkState.RETRYING if self.failures else SinkState.READY

    def succeeded(self) -> None:
        """The target took something."""
        self.failures = self.refusals = 0

    def failed(self, retry_after_s: float | None = None) -> float:
        """The target took nothing; the pause before the next attempt, in seconds."""
        self.failures += 1
        pause = self.pause_s(self.failures)
        if retry_after_s is not None:
            pause = max(pause, min(retry_after_s, MAX_RETRY_AFTER_S))
        return pause

    def refused(self) -> float:
        """An event was set aside; the pause before the next one: none, unless many were in a row."""
        self.refusals += 1
        return self.pause_s(self.refusals) if self.refusals >= OPEN_AFTER else 0.0

    def pause_s(self, count: int) -> float:
        """The pause after so many failures in a row, in seconds."""
        pause = self._backoff.longest_s if count >= OPEN_AFTER else self._backoff.pause_s(count)
        return jittered(pause, self._draw())
