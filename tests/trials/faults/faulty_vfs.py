"""A disk that fails when told: an apsw VFS shim over the system's own VFS.

A FaultyDisk is SQLite's default VFS until it is left, so slad runs on it as it is. It counts every call that
reaches the files under `root` by what is done to which file ("write wal", "sync db"), lets one of them fail,
and keeps a log of what was done, from which `power` tells what a power cut would have left.

In WAL mode the database file itself is written only by checkpoints: "write db" and "sync db" are theirs. The
shared memory beside the WAL is no file that holds anything, and goes past the shim.
"""

# ruff: noqa: N802 - methods are named as SQLite names them

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

import apsw

CHECKPOINT_PAGES = 24
"""Pages in the WAL at which it is checkpointed. At SQLite's own 1,000 a short run would hardly see one."""

_names = count(1)


class Failure(Enum):
    """How a call fails."""

    NO_SPACE = "no space"
    """ENOSPC; nothing is written."""
    IO_ERROR = "I/O error"
    """EIO; nothing is done."""
    TORN_NO_SPACE = "torn, no space"
    """A prefix is written, then ENOSPC."""
    TORN_IO_ERROR = "torn, I/O error"
    """A prefix is written, then EIO."""

    @property
    def torn(self) -> bool:
        return self in (Failure.TORN_NO_SPACE, Failure.TORN_IO_ERROR)

    def error(self) -> apsw.Error:
        if self in (Failure.NO_SPACE, Failure.TORN_NO_SPACE):
            return apsw.FullError("database or disk is full")
        return apsw.IOError("disk I/O error")


class Fault(NamedTuple):
    """The `number`th call of a kind fails; if it is `lasting`, so do others after it.

    A disk that stays full refuses what makes a file longer, one that stays broken all that changes anything.
    """

    kind: str
    number: int
    failure: Failure
    lasting: bool = False


class Wrote(NamedTuple):
    path: str
    offset: int
    data: bytes


class Truncated(NamedTuple):
    path: str
    size: int


class Synced(NamedTuple):
    path: str
    with_directory: bool
    """The names in the directory have become durable too, as SQLite asks for a journal's first sync."""


class Created(NamedTuple):
    path: str


class Deleted(NamedTuple):
    path: str
    with_directory: bool


class Milestone(NamedTuple):
    """Not done to the disk: how far the one who uses it has come."""

    commits: int


Operation = Wrote | Truncated | Synced | Created | Deleted | Milestone


class FaultyDisk(apsw.VFS):
    """See the module. A context manager; its connections have to be closed before it ends."""

    def __init__(self, root: Path) -> None:
        self.name = f"slad-faulty-{next(_names)}"
        super().__init__(self.name, "unix", makedefault=True)
        self.root = f"{os.fspath(root)}{os.sep}"
        self.calls: Counter[str] = Counter()
        """How often each kind of call was made."""
        self.log: list[Operation] = []
        self.fault: Fault | None = None
        self.struck = False
        """Whether the fault has happened."""
        self.on_strike: Callable[[], None] = _nothing
        """Called once, at the moment of the fault, when what was torn is written."""
        self._lock = threading.Lock()
        self._full = False

    def __enter__(self) -> Self:
        apsw.connection_hooks.append(_checkpoint_as_sqlite_does)
        return self

    def __exit__(self, *_: object) -> None:
        apsw.connection_hooks.remove(_checkpoint_as_sqlite_does)
        self.unregister()

    def arm(self, fault: Fault) -> None:
        """Lets a call fail, counted from the first call on this disk."""
        self.fault, self.struck = fault, False

    def fill(self) -> None:
        """From now on there is no room for a longer file."""
        self._full = True

    def repair(self) -> None:
        """The disk is as good as new, with room on it."""
        self.fault, self._full = None, False

    def come_to(self, kind: str, *, changes: bool = False, longer: bool = False) -> Fault | None:
        """Counts a call; the fault that hits it, if one does."""
        with self._lock:
            self.calls[kind] += 1
            fault = self.fault
            if fault is None:
                return Fault(kind, 0, Failure.NO_SPACE) if self._full and longer else None
            if not self.struck:
                self.struck = (kind, self.calls[kind]) == (fault.kind, fault.number)
                return fault if self.struck else None
            if not fault.lasting:
                return None
            full = fault.failure in (Failure.NO_SPACE, Failure.TORN_NO_SPACE)
            hit = longer if full else changes
            return fault._replace(failure=Failure.NO_SPACE if full else Failure.IO_ERROR) if hit else None

    def strike(self, fault: Fault) -> None:
        """Raises the error of a fault."""
        self._announce()
        raise fault.failure.error()

    def covers(self, path: str) -> bool:
        return path.startswith(self.root)

    def _announce(self) -> None:
        announce, self.on_strike = self.on_strike, _nothing
        announce()

    # --- what SQLite calls

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or not self.covers(path):
            return apsw.VFSFile("unix", name, flags)
        fault = self.come_to(f"open {_part(path)}")
        if fault is not None:
            self._announce()
            raise apsw.CantOpenError("unable to open database file")
        # slad makes the database file itself, so that nobody else can read it.
        new = not os.path.exists(path) or (_part(path) == "db" and not os.path.getsize(path))
        file = FaultyFile(self, path, name, flags)
        if new:
            self.log.append(Created(path))
        return file

    def xDelete(self, name: str, sync_directory: bool) -> None:
        if self.covers(name):
            fault = self.come_to(f"delete {_part(name)}", changes=True)
            if fault is not None:
                self.strike(fault)
        super().xDelete(name, sync_directory)
        if self.covers(name):
            self.log.append(Deleted(name, sync_directory))


class FaultyFile(apsw.VFSFile):
    """An open file of a FaultyDisk."""

    def __init__(self, disk: FaultyDisk, path: str, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._path = path
        self._part = _part(path)
        # SQLite asks that the name of a new journal be as durable as its content, see unixSync().
        self._syncs_directory = self._part != "db" and bool(flags[0] & apsw.SQLITE_OPEN_CREATE)

    def xRead(self, amount: int, offset: int) -> bytes:
        fault = self._disk.come_to(f"read {self._part}")
        if fault is not None:
            self._disk.strike(fault)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        longer = offset + len(data) > self.xFileSize()
        fault = self._disk.come_to(f"write {self._part}", changes=True, longer=longer)
        if fault is not None:
            if fault.failure.torn:
                self._write(data[: len(data) * 5 // 8], offset)
            self._disk.strike(fault)
        self._write(data, offset)

    def xTruncate(self, size: int) -> None:
        fault = self._disk.come_to(f"truncate {self._part}", changes=True)
        if fault is not None:
            self._disk.strike(fault)
        super().xTruncate(size)
        self._disk.log.append(Truncated(self._path, size))

    def xSync(self, flags: int) -> None:
        fault = self._disk.come_to(f"sync {self._part}", changes=True)
        if fault is not None:
            self._disk.strike(fault)
        # Nothing is really synced: what survives is for `power` to say.
        self._disk.log.append(Synced(self._path, self._syncs_directory))
        self._syncs_directory = False

    def _write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.log.append(Wrote(self._path, offset, bytes(data)))


def _nothing() -> None:
    pass


def _part(path: str) -> str:
    for suffix, part in (("-wal", "wal"), ("-journal", "journal"), (".db", "db")):
        if path.endswith(suffix):
            return part
    return "other"


def _checkpoint_as_sqlite_does(connection: apsw.Connection) -> None:
    connection.set_wal_hook(_checkpoint)


def _checkpoint(connection: apsw.Connection, database: str, pages: int) -> int:
    """Stands in for SQLite's own hook, which ignores that a checkpoint fails; the next commit tries again.

    The error of a shim is a Python exception, which apsw would raise out of the COMMIT that has succeeded.
    """
    if pages >= CHECKPOINT_PAGES:
        with suppress(apsw.Error):
            connection.wal_checkpoint(database)
    return apsw.SQLITE_OK
