"""Checkpoints: what is in the WAL goes into the database beside the commits, not within one.

By itself SQLite checkpoints within the commit that makes the WAL long, whose callers, and the timers behind
it, then wait for the copying of a thousand pages. Here a thread copies them while commits go on. The WAL
begins anew only when all of it is copied, which those commits prevent; so the next commit after that copies
what came meanwhile: a few pages.

Contract
  - A checkpoint that fails fails no commit. The next commit tries it again; after that it is tried when the
    WAL has grown as much once more.
  - When the WAL cannot begin anew, as somebody reads an old view, it grows until that ends.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import apsw

WAL_PAGES: Final = 1_000
"""Pages in the WAL at which it is copied: SQLite's own default, 4 MB."""


class Checkpointer:
    """Checkpoints of what `writer` commits, most of their work by `helper`, a connection of its own.

    `beside` runs a function elsewhere and does not wait for it; None: on a thread. Closes `helper`.
    """

    def __init__(
        self,
        writer: apsw.Connection,
        helper: apsw.Connection,
        *,
        wal_pages: int = WAL_PAGES,
        beside: Callable[[Callable[[], None]], Any] | None = None,
    ) -> None:
        self._writer = writer
        self._helper = helper
        self._wal_pages = wal_pages
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="slad-checkpoint")
        if beside is None:
            beside = self._thread.submit
            beside(_nothing)  # so that a thread that cannot be had is told of now, not by a commit
        self._beside = beside
        self._written = 0
        """Pages that went into the WAL since it was last tried to copy all of it."""
        self._copying = False
        self._copied = False
        writer.pragma("wal_autocheckpoint", 0)

    def committed(self) -> None:
        """The writer has committed; called by its thread."""
        self._written += self._writer.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)[0]
        if self._copied:
            self._copied = False
            self._written = 0
            _checkpoint(self._writer)
        elif self._written >= self._wal_pages and not self._copying:
            self._copying = True
            self._beside(self._copy)

    def close(self) -> None:
        """Waits for a checkpoint that is under way. The writer is to be closed later."""
        self._thread.shutdown()
        self._helper.close()

    def _copy(self) -> None:
        try:
            _checkpoint(self._helper)
        finally:
            self._copied = True
            self._copying = False


def _checkpoint(connection: apsw.Connection) -> None:
    # As SQLite takes it within a commit: nothing is lost, and the next one tries again. What keeps a disk
    # from being written is found, and told, by the commits themselves.
    with suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def _nothing() -> None:
    pass
