"""A copy of the database that Litestream has made, and that is to be served: a restored or a followed one.

When Litestream 0.5.18 follows, it writes pages into the file itself, under SQLite's locks but without a WAL,
and then notes in a file beside it how far it has come. If it ends in the middle of that, the file is of no
moment at all, and only the times of the two tell.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from slad.storage.backup import must_be_there
from slad.storage.database import BUSY_TIMEOUT_MS, DATABASE_NAME, explaining, must_be_slads
from slad.storage.epoch import begin_epoch
from slad.storage.lock import DatabaseError, DirectoryLock, give_to_owner_of
from slad.storage.store import Store
from slad.storage.swap import sync


class Copy:
    """The database of a data directory that nobody serves. `store` reads it."""

    def __init__(self, database: Path, connection: apsw.Connection) -> None:
        self._database = database
        self._connection = connection
        self.store = Store(connection)

    def begin_epoch(self, number: int) -> int:
        """Makes it epoch `number` of the database; the sequence above which its events go on.

        Raises apsw.Error.
        """
        with self._connection:
            begin_epoch(self._connection, number)
        _followed(self._database).unlink(missing_ok=True)
        for path in self._database.parent.glob(f"{self._database.stem}.*"):
            give_to_owner_of(self._database.parent, path)
        sync(self._database.parent)
        floor = self.store.meta("sequence_floor")
        assert isinstance(floor, int)
        return floor


@contextmanager
def open_copy(data: Path) -> Iterator[Copy]:
    """The database in `data`, with the directory held.

    Raises DatabaseError when it is served, not slad's or of a later slad, or when Litestream still has it
    open or was stopped while it wrote.
    """
    database = data / DATABASE_NAME
    must_be_there(database)
    with DirectoryLock(data):
        _must_be_whole(database)
        with explaining(database, "adopted", "restore another copy"):
            connection = apsw.Connection(os.fspath(database), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.set_busy_timeout(BUSY_TIMEOUT_MS)
                must_be_slads(database, connection)
                connection.pragma("synchronous", "FULL")
                copy = Copy(database, connection)
                if not copy.store.lineage().instance:
                    text = (
                        f"{database} was last served by an earlier version of slad: start this one on it once"
                    )
                    raise DatabaseError(text)
                yield copy
            finally:
                connection.close()


def _must_be_whole(database: Path) -> None:
    file = os.open(database, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Given only to the sole process that has the file open.
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            text = f"another process has {database} open: stop Litestream, which follows or replicates it"
            raise DatabaseError(text) from error
        # Otherwise: a file system that has no leases, or another's file. The documents say what has to stop.
    finally:
        os.close(file)
    followed = _followed(database)
    if followed.exists() and database.stat().st_mtime_ns > followed.stat().st_mtime_ns:
        raise DatabaseError(
            f"Litestream was stopped while it updated {database}: let it follow again until the update is "
            "complete, or restore again"
        )


def _followed(database: Path) -> Path:
    """Where Litestream notes up to which transaction it has followed."""
    return database.with_name(f"{database.name}-txid")
