"""What holds the event loop for milliseconds: one at a time, with all that others wait for in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

HEAVY_BYTES: Final = 64 * 1024
"""A message of so many is heavy to parse."""


class HeavySteps:
    """Steps of many calls, in the order in which they are asked for; one in each iteration of the loop.

    Without it, each of a hundred calls would take its step in every iteration, and a timer wait for them all.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def beside(self, step: Callable[..., T], *arguments: Any) -> T:
        """The result of a step on a thread of its own, when its turn comes: it may take longer than timers
        can wait. Raises what it raises."""
        async with self._turn:
            return await asyncio.to_thread(step, *arguments)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Waits for its turn; the block is a step, and must not wait for anything."""
        async with self._turn:
            yield
            await asyncio.sleep(0)
