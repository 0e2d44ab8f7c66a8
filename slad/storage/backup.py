"""Copies of the database: taken while it is in use, and put back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from slad.storage.database import APPLICATION_ID, DATABASE_NAME, migrations
from slad.storage.lock import DatabaseError, DirectoryLock
from slad.storage.store import Store

PAGES_AT_ONCE: Final = 1_024
"""Pages that are copied between two reports of progress."""

SEQUENCE_STRIDE: Final = 1_000_000_000
"""After a restore, sequences go on at the next multiple: those that consumers saw after the backup was taken
are never given to other events."""

Progress = Callable[[int, int], None]
"""Told how many pages are copied, of how many."""


def back_up(data: Path, target: Path, progress: Progress = lambda done, total: None) -> None:
    """Writes a consistent copy of the database in `data` to `target`, which must not exist.

    slad may run meanwhile: the copy is of one moment, and nobody waits for it. Raises DatabaseError.
    """
    source_path = data / DATABASE_NAME
    if not source_path.is_file():
        raise DatabaseError(f"there is no database in {data}")
    if target.exists():
        raise DatabaseError(f"{target} exists already; a backup never overwrites")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _copy(source_path, partial, progress)
        check(partial)
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
    except apsw.Error as error:
        raise DatabaseError(f"{source_path} cannot be copied: {error}") from error
    except OSError as error:
        raise DatabaseError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def restore(backup: Path, data: Path, *, replace: bool = False) -> Path | None:
    """Makes `backup` the database of `data`; the path to which a former database was moved, if there was one.

    Raises DatabaseError: the backup is no good, slad is running, or there is a database and not `replace`.
    """
    check(backup)
    with DirectoryLock(data):
        database = data / DATABASE_NAME
        former: Path | None = None
        if database.exists():
            if not replace:
                raise DatabaseError(f"there is a database in {data} already; give --replace to move it aside")
            former = _free_name(database)
        try:
            incoming = database.with_name(f"{DATABASE_NAME}.incoming")
            with backup.open("rb") as source, open(incoming, "wb", opener=_private) as copy:
                shutil.copyfileobj(source, copy)
            _skip_sequences(incoming)
            give_to_owner_of(data, incoming)
            _sync(incoming)
            if former is not None:
                _set_aside(database, former)
            incoming.rename(database)
            _sync(data)
        except OSError as error:
            raise DatabaseError(f"{data} cannot be written: {error.strerror}") from error
        return former


def check(path: Path) -> None:
    """Reads all of a database. Raises DatabaseError unless it is slad's, sound, and of a known version."""
    if not path.is_file():
        raise DatabaseError(f"there is no file {path}")
    try:
        connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            if connection.pragma("application_id") != APPLICATION_ID:
                raise DatabaseError(f"{path} is not a database of slad")
            version = connection.pragma("user_version")
            if version > migrations()[-1][0]:
                raise DatabaseError(f"{path} has schema {version}, which a later slad wrote")
            complaints = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        finally:
            connection.close()
    except apsw.Error as error:
        raise DatabaseError(f"{path} is damaged: {error}") from error
    if complaints != ["ok"]:
        raise DatabaseError(f"{path} is damaged: {'; '.join(complaints)}")


@contextmanager
def inspect(data: Path) -> Iterator[Store]:
    """The database of `data` as it is at this moment, to be read while slad runs or not.

    Raises DatabaseError, also for what goes wrong while it is read.
    """
    path = data / DATABASE_NAME
    if not path.is_file():
        raise DatabaseError(f"there is no database in {data}")
    try:
        store = Store(apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)).snapshot()
        try:
            yield store
        finally:
            store.close()
    except apsw.Error as error:
        raise DatabaseError(f"{path} is damaged ({error}); restore a backup") from error


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


def _skip_sequences(path: Path) -> None:
    connection = apsw.Connection(os.fspath(path))
    try:
        newest = connection.execute(
            "SELECT max(coalesce((SELECT max(sequence) FROM event), 0),"
            " coalesce((SELECT value FROM meta WHERE name = 'sequence_floor'), 0))"
        ).get
        floor = (newest // SEQUENCE_STRIDE + 1) * SEQUENCE_STRIDE
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('sequence_floor', ?)", (floor,))
        _skip_message_keys(connection)
    finally:
        connection.close()


def _skip_message_keys(connection: apsw.Connection) -> None:
    """The same for messages to Temporal: a workflow drops what has a key that it has seen, or passed."""
    table = "temporal_outbox"
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is None:
        return
    used = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?"
    newest = connection.execute(used, (table,)).get
    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    floor = (newest // SEQUENCE_STRIDE + 1) * SEQUENCE_STRIDE
    connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, floor))


def give_to_owner_of(data: Path, path: Path) -> None:
    """Lets root restore for the user that slad runs as."""
    owner = data.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _set_aside(database: Path, former: Path) -> None:
    # What the WAL holds belongs to it, so it goes along under the matching name.
    for suffix in ("", "-wal"):
        path = database.with_name(database.name + suffix)
        if path.exists():
            path.rename(former.with_name(former.name + suffix))
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)


def _free_name(database: Path) -> Path:
    number = 1
    while (path := database.with_name(f"{database.name}.before-restore-{number}")).exists():
        number += 1
    return path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
