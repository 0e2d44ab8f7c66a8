"""Expensive queries: on a thread of their own, with a line for each caller, served in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from slad.engine.catalog import Catalog
from slad.engine.queries import Queries
from slad.storage.row_reader import StoredEvent
from slad.storage.store import Store

P = ParamSpec("P")
T = TypeVar("T")

EVENTS_BYTES: Final = 64 * 1024
"""Bytes of events that are read at once: a slow reader keeps them in memory."""


class _Waiting(NamedTuple):
    read: Callable[[], Any]
    done: asyncio.Future[Any]


class QueryThread:
    """Runs what may take long on a thread and connection of their own. All methods are for the event loop.

    Each line has one query in turn, so a busy caller delays only itself. A query that nobody waits for any
    more is not begun.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queries = Queries(store, Catalog(store))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="slad-reader")
        self._lines: OrderedDict[Hashable, deque[_Waiting]] = OrderedDict()
        self._is_busy = False

    async def run(self, query: Callable[[Queries], T], holder: Hashable = None) -> T:
        """The result of `query`, in the line of `holder`; None: slad's own. Raises what it raises."""
        return await self._in_turn(holder, partial(query, self._queries))

    async def read(self, method: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a method of `Store`, in slad's own line. Raises what it raises."""
        return await self._in_turn(None, partial(method, self._store, *args, **kwargs))

    async def events_after(self, sequence: int, limit: int) -> list[StoredEvent]:
        """The next events of the event log (see `Store`), at most `limit`; fewer when they are large."""
        return await self.read(Store.events_after, sequence, limit, EVENTS_BYTES)

    async def events_owed(self, sequence: int) -> int:
        """How many events there are after `sequence`."""
        return await self.read(Store.events_owed, sequence)

    async def _in_turn(self, holder: Hashable, read: Callable[[], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(holder, deque()).append(_Waiting(read, done))
        self._serve()
        return await done

    def _serve(self) -> None:
        while self._lines and not self._is_busy:
            holder, line = next(iter(self._lines.items()))
            read, done = line.popleft()
            if line:
                self._lines.move_to_end(holder)
            else:
                del self._lines[holder]
            if not done.done():  # else its caller has gone
                self._is_busy = True
                begun = asyncio.get_running_loop().run_in_executor(self._thread, read)
                begun.add_done_callback(partial(self._ended, done))

    def _ended(self, done: asyncio.Future[Any], begun: asyncio.Future[Any]) -> None:
        self._is_busy = False
        error = begun.exception()
        if not done.done():
            if error is None:
                done.set_result(begun.result())
            else:
                done.set_exception(error)
        self._serve()

    def close(self) -> None:
        """Waits for what is running, and closes the connection."""
        self._thread.shutdown(wait=True)
        self._store.close()
