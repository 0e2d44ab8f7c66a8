"""The one clock object through which time comes in. Instants are UTC epoch ms."""

from __future__ import annotations

import time
from typing import Final, Protocol

NANOSECONDS_PER_MS: Final = 1_000_000


class TimeSource(Protocol):
    """What the engine asks for the time."""

    @property
    def is_virtual(self) -> bool:
        """Whether time moves only when told."""
        ...

    def now(self) -> int:
        """The current instant."""
        ...

    def monotonic(self) -> int:
        """Milliseconds that have passed since some moment, whatever is done to the wall clock."""
        ...

    def reach(self, instant: int) -> None:
        """Called on the way through due timers: virtual time stops at each of them."""
        ...


class WallClock:
    """The machine's own time."""

    is_virtual: Final = False

    def now(self) -> int:
        """The current instant."""
        return time.time_ns() // NANOSECONDS_PER_MS

    def monotonic(self) -> int:
        """Not the boot-time clock: a suspension has to show as a step."""
        return time.monotonic_ns() // NANOSECONDS_PER_MS

    def reach(self, instant: int) -> None:
        """Nothing: wall time passes by itself."""


class VirtualClock:
    """Time that stands still until it is moved, never backwards."""

    is_virtual: Final = True

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        """The current instant."""
        return self._now

    def monotonic(self) -> int:
        """The current instant, as virtual time is never stepped."""
        return self._now

    def reach(self, instant: int) -> None:
        """Moves time forward to `instant`, if that is ahead."""
        self._now = max(self._now, instant)


class StepDetector:
    """Tells when the wall clock was stepped, by comparing it with the monotonic one."""

    THRESHOLD_MS: Final = 500
    """A smaller difference is the ordinary slewing of a clock that is kept by NTP."""

    def __init__(self, wall_ms: int, monotonic_ms: int) -> None:
        self._offset = wall_ms - monotonic_ms

    def step(self, wall_ms: int, monotonic_ms: int) -> int:
        """By how many ms the wall clock was stepped since the last call; 0 for not at all."""
        offset = wall_ms - monotonic_ms
        stepped, self._offset = offset - self._offset, offset
        return stepped if abs(stepped) >= self.THRESHOLD_MS else 0
