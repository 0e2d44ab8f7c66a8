"""Changes of what is both stored and known in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Changes:
    """Carries changes to their end, even if their caller goes away: what is durable is then known, too."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def complete(self, change: Coroutine[Any, Any, T]) -> T:
        """The result of `change`. Raises what it raises; a cancellation of the caller does not reach it."""
        task = asyncio.create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone; then nobody retrieves it, which is no news
