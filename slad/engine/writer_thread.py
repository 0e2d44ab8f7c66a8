"""The one thread that commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_Work = tuple[T, asyncio.Future[None], asyncio.AbstractEventLoop]


class WriterThread(Generic[T]):
    """Calls `write` with each batch in turn, on a thread of its own.

    An executor would work too, but a hand-over costs four times as much: it makes and chains two futures.
    """

    def __init__(self, write: Callable[[T], None]) -> None:
        self._write: Final = write
        self._queue: SimpleQueue[_Work[T] | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def run(self, batch: T) -> None:
        """Returns when `write` has; raises what it raises. Cancelling the caller does not stop it."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name="slad-writer")
            self._thread.start()
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._queue.put((batch, done, loop))
        await done

    def close(self) -> None:
        """Waits until everything is written, and ends the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            batch, done, loop = item
            error: BaseException | None = None
            try:
                self._write(batch)
            except BaseException as raised:
                error = raised
            # Otherwise they would stay in memory until the next batch comes.
            del item, batch
            try:
                loop.call_soon_threadsafe(_resolve, done, error)
            except RuntimeError:
                return  # the loop is gone, and with it whoever waited


def _resolve(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
