"""Copies of the database: taken while it is in use, and put back."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import apsw

from slad.storage.database import (
    DATABASE_NAME,
    LAST_BACKUP,
    explaining,
    mark,
    migrations,
    must_be_slads,
)
from slad.storage.epoch import begin_epoch
from slad.storage.kill_points import RESTORE_COPIED, kill_point
from slad.storage.lock import DatabaseError, DirectoryLock, explained, give_to_owner_of
from slad.storage.store import Store
from slad.storage.swap import COMPLETE, INCOMING, finish_restore, sync

ROTATED: Final = re.compile(r"slad-[0-9]{8}T[0-9]{6}Z\.db")
"""The names of backups in a folder where old ones are removed."""

PAGES_AT_ONCE: Final = 1_024
"""Pages that are copied between two reports of progress."""

Progress = Callable[[int, int], None]
"""Told how many pages are copied, of how many."""


def back_up(data: Path, target: Path, progress: Progress = lambda done, total: None) -> None:
    """Writes a consistent copy of the database in `data` to `target`, which must not exist.

    slad may run meanwhile: the copy is of one moment, and nobody waits for it. Raises DatabaseError.
    """
    source_path = data / DATABASE_NAME
    must_be_there(source_path)
    if target.exists():
        raise DatabaseError(f"{target} exists already; a backup never overwrites")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _copy(source_path, partial, progress)
        check(partial)
        sync(partial)
        partial.rename(target)
        sync(target.parent)
        mark(data, LAST_BACKUP)  # slad_last_backup_timestamp_seconds
    except apsw.FullError as error:
        raise DatabaseError(f"{target} cannot be written: the disk is full; make room there") from error
    except apsw.Error as error:
        raise DatabaseError(f"{source_path} cannot be copied to {target}: {error}") from error
    except OSError as error:
        raise DatabaseError(f"{target} cannot be written: {explained(error, target)}") from error
    finally:
        partial.unlink(missing_ok=True)
        partial.with_name(f"{partial.name}-journal").unlink(missing_ok=True)


def back_up_into(
    folder: Path, data: Path, keep: int, now_s: float, progress: Progress = lambda done, total: None
) -> tuple[Path, list[Path]]:
    """Backs up to a new file in `folder`, named after the second, and then removes all but the newest `keep`.

    Returns the file, and those that were removed. Raises DatabaseError; then none was removed.
    """
    target = folder / time.strftime("slad-%Y%m%dT%H%M%SZ.db", time.gmtime(now_s))
    back_up(data, target, progress)
    try:
        taken = sorted(path for path in folder.iterdir() if ROTATED.fullmatch(path.name))
        for old in taken[:-keep]:
            old.unlink()
    except OSError as error:
        raise DatabaseError(f"old backups in {folder} cannot be removed: {error.strerror}") from error
    return target, taken[:-keep]


def verify(backup: Path) -> int:
    """Reads all of a backup, every stored value too; how many tickets are in it. Raises DatabaseError."""
    check(backup)
    connection = apsw.Connection(os.fspath(backup), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        # What an earlier slad wrote has no checksums.
        has_checksums = connection.pragma("user_version") == migrations()[-1][0]
        errors = list(Store(connection).unreadable_values()) if has_checksums else []
        count: int = connection.execute("SELECT count(*) FROM tracking").get
    except apsw.Error as error:
        raise DatabaseError(f"{backup} is damaged: {error}") from error
    finally:
        connection.close()
    if errors:
        raise DatabaseError(f"{backup} is damaged: {len(errors)} values, the first is {errors[0].what}")
    return count


def restore(backup: Path, data: Path, *, replace: bool = False) -> Path | None:
    """Makes `backup` the database of `data`; the path to which a former database was moved, if there was one.

    Once the copy is complete it is put in place as a whole: what a crash leaves undone the next start does.
    Raises DatabaseError: the backup is no good, slad is running, or there is a database and not `replace`.
    """
    check(backup)
    with DirectoryLock(data):
        database = data / DATABASE_NAME
        try:
            finish_restore(database)
            if database.exists() and not replace:
                raise DatabaseError(f"there is a database in {data} already; give --replace to move it aside")
            incoming = database.with_name(INCOMING)
            try:
                with backup.open("rb") as source, open(incoming, "wb", opener=_private) as copy:
                    shutil.copyfileobj(source, copy)
                _begin_epoch(incoming)
                give_to_owner_of(data, incoming)
                sync(incoming)
                incoming.rename(database.with_name(COMPLETE))
            finally:
                incoming.unlink(missing_ok=True)
            sync(data)
            kill_point(RESTORE_COPIED)
            return finish_restore(database)
        except apsw.FullError as error:
            raise DatabaseError(f"{data} cannot be written: the disk is full; make room") from error
        except OSError as error:
            raise DatabaseError(f"{data} cannot be written: {explained(error, data)}") from error


def check(path: Path) -> None:
    """Reads all of a database. Raises DatabaseError unless it is slad's, sound, and of a known version."""
    if not path.is_file():
        raise DatabaseError(f"there is no file {path}")
    try:
        connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            must_be_slads(path, connection)
            complaints = Store(connection).complaints()
        finally:
            connection.close()
    except apsw.Error as error:
        raise DatabaseError(f"{path} is damaged: {error}") from error
    if complaints:
        raise DatabaseError(f"{path} is damaged: {'; '.join(complaints)}")


def inspect(data: Path) -> AbstractContextManager[Store]:
    """The database of `data` as it is at this moment, to be read while slad runs or not.

    Raises DatabaseError, also for what goes wrong while it is read.
    """
    return look_into(data / DATABASE_NAME)


@contextmanager
def look_into(path: Path) -> Iterator[Store]:
    """As `inspect`, of the file of a database."""
    must_be_there(path)
    with explaining(path, "read", "restore a backup"):
        store = Store(_open_to_look(path)).snapshot()
        try:
            yield store
        finally:
            store.close()


def must_be_there(database: Path) -> None:
    """Raises DatabaseError unless the file of the database is there and may be read."""
    try:
        with database.open("rb"):
            return
    except FileNotFoundError:
        if database.with_name(COMPLETE).exists():
            text = f"a restore in {database.parent} was interrupted; the next start of slad completes it"
            raise DatabaseError(text) from None
        raise DatabaseError(f"there is no database in {database.parent}") from None
    except OSError as error:
        raise DatabaseError(f"{database} cannot be opened: {explained(error, database)}") from error


def _open_to_look(path: Path) -> apsw.Connection:
    """A connection that changes nothing, and leaves no file that was not there."""
    wal = path.with_name(f"{path.name}-wal")
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
        # The last connection to close removes the WAL that it made, but is not to fold in another's.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(wal.exists()))
        connection.pragma("query_only", True)
        return connection
    if not wal.exists() or not wal.stat().st_size:
        # Nobody can write, so nobody has to be locked out; and no lock could be written down.
        uri = f"{path.absolute().as_uri()}?immutable=1"
        return apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        return apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.CantOpenError as error:
        text = f"{wal} cannot be read without write access: copy {path.parent} and examine the copy"
        raise DatabaseError(text) from error


def _copy(source_path: Path, target: Path, progress: Progress) -> None:
    source = apsw.Connection(os.fspath(source_path), flags=apsw.SQLITE_OPEN_READONLY)
    copy = apsw.Connection(os.fspath(target))
    try:
        # In a read transaction the copy is of one moment; outside, each commit would start it anew.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        with copy.backup("main", source, "main") as work:
            while not work.done:
                work.step(PAGES_AT_ONCE)
                progress(work.page_count - work.remaining, work.page_count)
        # A file by itself: no WAL beside it to forget.
        copy.pragma("journal_mode", "delete")
    finally:
        copy.close()
        source.close()


def _begin_epoch(path: Path) -> None:
    connection = apsw.Connection(os.fspath(path))
    try:
        with connection:
            begin_epoch(connection)
    finally:
        connection.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
