"""Opening the database: one process, WAL, synchronous=FULL, numbered migrations."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from slad.storage.epoch import settle_epoch
from slad.storage.lock import MADE_HERE, DatabaseError, DirectoryLock, explained, give_to_owner_of, owner_of
from slad.storage.swap import finish_restore, refuse_leftovers

DATABASE_NAME: Final = "slad.db"

APPLICATION_ID: Final = 0x534C4144
"""ASCII "SLAD" in the file's header: what tells slad's database from another's."""

BUSY_TIMEOUT_MS: Final = 5_000
"""How long a connection waits for another (a backup, a shell) before it gives up."""

CACHE_KIB: Final = 16 * 1024
"""Page cache of the writer; that of a reader is a quarter."""

CHECKED_BYTES: Final = 64 * 1024 * 1024
"""A database up to this size is looked through at the start, which takes a tenth of a second. A larger one is
not, so that the start does not grow with it."""

StorageError = apsw.Error
"""What reading and writing raise when the disk or the file is at fault."""

DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError)
"""The StorageErrors that say that the file is not as it was written: another attempt will not help."""


NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room. SQLite tells only the first apart, and not everywhere."""

SQLITE_VERSION: Final = apsw.sqlite_lib_version()


def is_full(error: Exception, system_errno: int) -> bool:
    """Whether the disk, or what slad may take of it, is full."""
    return isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError | apsw.CantOpenError) and system_errno in NO_ROOM
    )


LAST_BACKUP: Final = "last-backup"
"""A mark in the data directory (see `mark`): when a backup last succeeded."""

REPLICA_KNOWS: Final = "replica-knows"
"""A mark: the instant up to which a replica knew what was acknowledged, when it was last read back."""

RESTORE: Final = "restore a backup: slad restore --replace FILE"
"""What to do about a damaged database, unless it is a copy."""


def damaged(database: Path, finding: object, remedy: str = RESTORE) -> DatabaseError:
    """The error that says that a database is damaged, and what to do."""
    what = " ".join(str(finding).split())
    return DatabaseError(f"{database} is damaged ({what}); {remedy}")


@contextmanager
def explaining(database: Path, verb: str, remedy: str = RESTORE) -> Iterator[None]:
    """Makes a DatabaseError of a StorageError that is raised inside.

    DAMAGE becomes one that says the `remedy`, all else one that says that it cannot be `verb`.
    """
    try:
        yield
    except DAMAGE as error:
        raise damaged(database, error, remedy) from error
    except StorageError as error:
        raise DatabaseError(f"{database} cannot be {verb}: {error}") from error


class DiskUsage(NamedTuple):
    """What the data directory takes of the disk, in bytes, and when it was backed up."""

    database: int
    wal: int
    """0 when there is none."""
    disk_free: int
    """Of the file system, for slad's user."""
    last_backup_s: float
    """When the last backup succeeded, as UTC epoch seconds; 0: never."""
    replica_known_s: float
    """Up to when a replica knew everything when it was last read back, as UTC epoch seconds; 0: never."""


class DataDirectory:
    """A data directory held by this process: `DIR/slad.db` and the lock beside it.

    Raises DatabaseError when another process holds it, when it cannot be written, when the database is
    damaged, not slad's, of a later version, or another user's.

    With `as_guest` root may open what is another user's; what it leaves behind is that user's, too.
    With `external_checkpoints` no connection merges the WAL into the database, not even the last to close.
    Without `copies_allowed` a copy of the database last served has to be adopted first: DatabaseError.
    """

    def __init__(
        self,
        path: Path,
        *,
        as_guest: bool = False,
        external_checkpoints: bool = False,
        copies_allowed: bool = True,
    ) -> None:
        self.path = path
        self._copies_allowed = copies_allowed
        self.external_checkpoints = external_checkpoints
        self._as_guest = as_guest
        if not as_guest:
            self._must_be_own()
        self._lock = DirectoryLock(path)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def database(self) -> Path:
        """The database file."""
        return self.path / DATABASE_NAME

    def writer(self) -> apsw.Connection:
        """A new connection that commits durably. There must be only one."""
        connection = self._connect()
        connection.pragma("synchronous", "FULL")
        connection.pragma("cache_size", -CACHE_KIB)
        # An INSERT of many rows keeps every page it changes until it is over. In a file
        # that makes a row a fifth dearer.
        connection.pragma("temp_store", "MEMORY")
        return connection

    def checkpointer(self) -> apsw.Connection:
        """A new connection for checkpoints. It keeps no pages, as it copies them as they are."""
        connection = self._connect()
        connection.pragma("synchronous", "FULL")
        return connection

    def reader(self) -> apsw.Connection:
        """A new connection that only reads."""
        connection = self._connect()
        connection.pragma("query_only", True)
        connection.pragma("cache_size", -CACHE_KIB // 4)
        return connection

    def usage(self) -> DiskUsage:
        """What it takes of the disk. Raises OSError."""
        wal = self.database.with_name(f"{DATABASE_NAME}-wal")
        disk = os.statvfs(self.path)
        return DiskUsage(
            self.database.stat().st_size,
            wal.stat().st_size if wal.exists() else 0,
            disk.f_bavail * disk.f_frsize,
            _time_of(self.path / LAST_BACKUP),
            _time_of(self.path / REPLICA_KNOWS),
        )

    def close(self) -> None:
        """Lets go of the directory."""
        try:
            if self._as_guest:
                for path in self.path.iterdir():
                    give_to_owner_of(self.path, path)
        finally:
            self._lock.release()

    @contextmanager
    def explaining_damage(self) -> Iterator[None]:
        """Makes a DatabaseError that says what to do of the DAMAGE that is raised inside."""
        try:
            yield
        except DAMAGE as error:
            raise damaged(self.database, error) from error

    def _must_be_own(self) -> None:
        try:
            owner = self.database.stat().st_uid
        except OSError:
            return  # what is not there yet, or cannot be seen, is told of by the lock
        if owner != os.geteuid() == 0:
            name = owner_of(self.database)
            raise DatabaseError(
                f"{self.database} belongs to {name}, who could not open files that root creates there; "
                f"run slad as {name}"
            )

    def _prepare(self) -> None:
        try:
            finish_restore(self.database)
            refuse_leftovers(self.database)
            # The file must never be readable by others, not even between its creation and a chmod.
            os.close(os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise DatabaseError(f"{self.database} cannot be opened: {explained(error, self.path)}") from error
        with explaining(self.database, "opened"):
            connection = self._connect()
            try:
                migrate(connection)
                self._look_through(connection)
                _note_time_zones(connection)
                settle_epoch(connection, self.database, copies_allowed=self._copies_allowed)
            except apsw.Error as error:
                if is_full(error, connection.system_errno):
                    text = f"{self.database} cannot be opened: the disk is full; make room"
                    raise DatabaseError(text) from error
                raise
            finally:
                connection.close()

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(os.fspath(self.database), statementcachesize=200)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        # A plan is made once, whatever is bound. Else SQLite (STAT4) parses and plans anew a statement whose
        # bindings have changed, because other values might deserve another plan: twice the cost of a look-up.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if self.external_checkpoints:
            connection.wal_autocheckpoint(0)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return connection

    def _look_through(self, connection: apsw.Connection) -> None:
        if connection.pragma("page_count") * connection.pragma("page_size") <= CHECKED_BYTES:
            finding = connection.execute("PRAGMA quick_check(1)").get
            if finding != "ok":
                raise damaged(self.database, finding)


def mark(data: Path, name: str, instant: int | None = None) -> None:
    """Lets the daemon tell of an instant (UTC epoch ms; None: now): that of an empty file in `data`.

    If that cannot be written, nothing is told.
    """
    path = data / name
    with suppress(OSError):
        # A pipe that nobody reads must not hold it up.
        file = os.open(path, os.O_WRONLY | os.O_NONBLOCK | MADE_HERE, 0o600)
        try:
            at = time.time_ns() if instant is None else instant * 1_000_000
            os.utime(file, ns=(at, at))
        finally:
            os.close(file)
        give_to_owner_of(data, path)


def _time_of(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def must_be_slads(path: Path, connection: apsw.Connection) -> None:
    """Raises DatabaseError unless the copy of a database is slad's, and of no later slad."""
    if connection.pragma("application_id") != APPLICATION_ID:
        raise DatabaseError(f"{path} is not a database of slad")
    if (version := connection.pragma("user_version")) > migrations()[-1][0]:
        raise DatabaseError(f"{path} has schema {version}, which a later slad wrote")


def migrations() -> list[tuple[int, str]]:
    """All schema steps as (version, SQL), ascending; they are files `NNNN_name.sql` in `schema/`."""
    files = resources.files("slad.storage").joinpath("schema").iterdir()
    return sorted(
        (int(file.name[:4]), file.read_text("utf-8")) for file in files if file.name.endswith(".sql")
    )


def migrate(connection: apsw.Connection) -> None:
    """Brings the schema up to date, a transaction a step.

    Raises DatabaseError for a file of another application or of a later slad.
    """
    # Before anything is written: reading the header tells a foreign or damaged file.
    schema_version = connection.pragma("user_version")
    application_id = connection.pragma("application_id")
    if application_id not in (0, APPLICATION_ID) or (application_id == 0 and schema_version):
        raise DatabaseError("the database file belongs to another application")
    steps = migrations()
    if schema_version > steps[-1][0]:
        raise DatabaseError(
            f"the database has schema {schema_version}, this slad knows up to {steps[-1][0]}: "
            "run the slad that wrote it, or a later one"
        )
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    for number, sql in steps:
        if number > schema_version:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(sql)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", number)
                connection.execute("COMMIT")
            except BaseException:
                # Some failures (disk full, I/O) have rolled back by themselves.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


WAKE_MARKS: Final = 1_000_000_007
"""A stored wake below it lies in January 1970 and is due at once: the true one is to be derived. It is the
remainder of the one that was stored before, so that it can be told whether that has moved."""


def wake_mark(wake_at: int) -> int:
    """The value of a wake that has to be derived again."""
    return wake_at % WAKE_MARKS


def _note_time_zones(connection: apsw.Connection) -> None:
    """After a change of the time-zone database every stored wake may be wrong: derive them again (B5)."""
    current = version("tzdata")
    known = connection.execute("SELECT value FROM meta WHERE name = 'tzdata'").fetchone()
    if known == (current,):
        return
    with connection:
        connection.execute(
            "UPDATE tracking SET wake_at = wake_at % ? WHERE wake_at IS NOT NULL", (WAKE_MARKS,)
        )
        connection.execute("UPDATE temporal_ticket SET check_at = 0 WHERE check_at IS NOT NULL")
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('tzdata', ?)", (current,))
