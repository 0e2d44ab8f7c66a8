"""Calls that wait for their caller, to send a message or to read one. It may be slow, but not for ever.

What waits holds bytes, gRPC's own buffers among them, for which another caller has no use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final, TypeVar

import msgspec

from slad.config.settings import LimitSettings
from slad.core.errors import Refusal, Refused
from slad.core.instants import SECOND_MS
from slad.service.endings import end, raise_reason

T = TypeVar("T")

SWEEP_S: Final = 1.0
"""How often it is looked. What has waited for less is on its way, and counts for nothing."""

RETRY_S: Final = 1


class Stalls:
    """Waits of one kind. Each may last `most_s` seconds.

    Those that have lasted a while may hold `most_bytes` together; beyond it the oldest end. One that ends
    raises what `refusal` makes.
    """

    def __init__(self, most_s: float, most_bytes: int, refusal: Callable[[], Refused]) -> None:
        self._most_s = most_s
        self._most_bytes = most_bytes
        self._refusal = refusal
        self._waits: dict[asyncio.Task[Any], tuple[float, int]] = {}
        """(since when, bytes) of each, in the order in which they began."""
        self._sweeper: asyncio.TimerHandle | None = None

    async def wait(self, for_caller: Awaitable[T], size: int) -> T:
        """The result of `for_caller`, which holds `size` bytes until it is there. Raises Refused."""
        task = asyncio.current_task()
        assert task is not None
        self._waits[task] = monotonic(), size
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        try:
            return await for_caller
        except asyncio.CancelledError:
            raise_reason()
            raise
        finally:
            self._waits.pop(task, None)

    def _sweep(self) -> None:
        now = monotonic()
        stalled = [wait for wait in self._waits.items() if now - wait[1][0] >= SWEEP_S]
        held = sum(size for _, (_, size) in stalled)
        for task, (since, size) in stalled:
            if now - since < self._most_s and held <= self._most_bytes:
                break
            held -= size
            del self._waits[task]
            end(task, self._refusal())
        again = asyncio.get_running_loop().call_later
        self._sweeper = again(SWEEP_S, self._sweep) if self._waits else None


STRANGERS_BYTES: Final = 32 * 1024 * 1024
"""Of requests that anybody may make, without a token: those for health, of a few bytes."""


def unsent_by_strangers(limits: LimitSettings) -> Stalls:
    """Waits for requests that anybody may make."""
    return unsent(msgspec.structs.replace(limits, receive_bytes=STRANGERS_BYTES))


def unsent(limits: LimitSettings) -> Stalls:
    """Waits for requests that callers have begun to send."""
    span = limits.receive_time_ms / SECOND_MS
    message = f"the message did not arrive within {span:g} s (limits.receive_time), or too many were arriving"
    return Stalls(
        span,
        limits.receive_bytes,
        lambda: Refused(
            Refusal.RESOURCE_EXHAUSTED,
            "MESSAGE_TOO_SLOW",
            message,
            {"limit": "limits.receive_time"},
            retry_s=RETRY_S,
        ),
    )


def unread(limits: LimitSettings) -> Stalls:
    """Waits for callers to read what a stream has for them."""
    span = limits.unread_time_ms / SECOND_MS
    message = (
        f"the stream was not read for {span:g} s (limits.unread_time), or too much was unread "
        "(limits.unread_bytes); open it again and continue to read"
    )
    return Stalls(
        span,
        limits.unread_bytes,
        lambda: Refused(
            Refusal.UNAVAILABLE,
            "NOT_READ",
            message,
            {"limit": "limits.unread_time"},
            retry_s=RETRY_S,
        ),
    )
