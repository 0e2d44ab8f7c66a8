"""Simulated time for the event loop and for slad, and an executor that does its work at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from slad.core.instants import MINUTE_MS
from tests.core.tickets import at

MIDNIGHT = at("2026-03-02T00:00:00Z")
"""A Monday."""


def instant(minute: int) -> int:
    return MIDNIGHT + minute * MINUTE_MS


def minute_of(instant_ms: int) -> int:
    minute, rest = divmod(instant_ms - MIDNIGHT, MINUTE_MS)
    assert rest == 0, "everything happens at whole minutes"
    return minute


class _Unwaiting(selectors.DefaultSelector):
    """What the loop would wait for passes at once."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        super().__init__()
        self._passes = passes

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that nobody will do")
        if not ready and timeout:
            self._passes(timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is moved, never waited for; so that nothing depends on the machine."""

    def __init__(self) -> None:
        self.simulated = 0.0
        super().__init__(_Unwaiting(self._pass))

    def _pass(self, seconds: float) -> None:
        self.simulated += seconds

    def time(self) -> float:
        return self.simulated

    @property
    def idle(self) -> bool:
        """Whether no task but the running one has anything to do at this moment."""
        return not self._ready and not any(  # type: ignore[attr-defined]
            timer.when() <= self.simulated and not timer.cancelled()
            for timer in self._scheduled  # type: ignore[attr-defined]
        )


class SimulatedClock:
    """A wall clock that is moved, and set, by whole minutes."""

    is_virtual = False

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.minute = 0
        self._passed = 0

    def now(self) -> int:
        return instant(self.minute)

    def monotonic(self) -> int:
        return self._passed * MINUTE_MS

    def reach(self, instant: int) -> None:
        pass

    def go(self, minutes: int) -> None:
        """Time passes."""
        self._passed += minutes
        self._loop.simulated += minutes * 60
        self.minute += minutes

    def set(self, minutes: int) -> None:
        """Somebody sets the clock. The loop goes on by the second after which that is noticed."""
        self._loop.simulated += 1
        self.minute += minutes


class AtOnce(Executor):
    """Runs what it is given where it is given: no threads, one order of events."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


class WritesAtOnce:
    """Stands in for the writer's thread; while it writes, others have their turn."""

    def __init__(self, write: Callable[[Any], None]) -> None:
        self._write = write

    async def run(self, batch: Any) -> None:
        await asyncio.sleep(0)
        self._write(batch)
        await asyncio.sleep(0)

    def close(self) -> None:
        pass
