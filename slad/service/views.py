"""Views of the database that callers hold. An open view lets the WAL grow, so each is closed in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from slad.core.errors import Refusal, Refused
from slad.service.endings import end, endable
from slad.storage.store import Store

LOOK_S: Final = 1.0
"""How often it is looked how large the WAL is."""

RETRY_S: Final = 5


class Views:
    """Takes views with `connect`, each a connection of its own.

    A view ends when the WAL has grown by `most_bytes` since it was taken. None is taken beside others when
    it has twice that size. `wal_bytes` tells the size.
    """

    def __init__(self, connect: Callable[[], Store], wal_bytes: Callable[[], int], most_bytes: int) -> None:
        self._connect = connect
        self._wal_bytes = wal_bytes
        self._most = most_bytes
        self._held: dict[asyncio.Task[Any], int] = {}
        """The size of the WAL when it was taken."""
        self._looking: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def view(self) -> AsyncIterator[Store]:
        """A view as of now. Raises Refused (RESOURCE_EXHAUSTED), also in the block, if it must be closed."""
        task, size = asyncio.current_task(), self._wal_bytes()
        assert task is not None
        if self._held and size > 2 * self._most:
            raise _too_large("slad changes too fast to keep another view of its tickets")
        store = self._connect().snapshot()
        self._held[task] = size
        if self._looking is None:
            self._look_again()
        try:
            with endable():
                yield store
        finally:
            del self._held[task]
            store.close()

    def _look_again(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._looking = None
        if not self._held:
            return
        size = self._wal_bytes()
        for task, began_at in self._held.items():
            if size - began_at > self._most:
                end(task, _too_large("slad has changed too much to keep its view of the tickets"))
        self._look_again()


def _too_large(what: str) -> Refused:
    return Refused(
        Refusal.RESOURCE_EXHAUSTED,
        "VIEW_TOO_OLD",
        f"{what} (limits.wal_bytes); nothing was changed, send the list again",
        {"limit": "limits.wal_bytes"},
        retry_s=RETRY_S,
    )
