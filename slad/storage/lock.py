"""One process a data directory."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOCK_NAME: Final = "slad.lock"

MADE_HERE: Final = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
"""How files in a data directory are opened that root may write too: a link there may lead anywhere."""


class DatabaseError(RuntimeError):
    """The database cannot be used; the message says why and what to do."""


def explained(error: OSError, path: Path) -> str:
    """What went wrong with `path`, and what to do."""
    what = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        there = next((place for place in (path, *path.parents) if _is_there(place)), path)
        return f"{what}: {there} belongs to {owner_of(there)}, and slad runs as {_name(os.geteuid())}"
    if error.errno == errno.EROFS:
        return f"{what}; mount it for writing, or choose another directory with --data"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what}; make room"
    return what


def owner_of(path: Path) -> str:
    """The user that a file belongs to, by name if it has one."""
    try:
        return _name(path.stat().st_uid)
    except OSError:
        return "another user"


def give_to_owner_of(data: Path, path: Path) -> None:
    """Lets root work for the user that slad runs as, whose links it does not follow. Raises OSError."""
    owner = data.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


class DirectoryLock:
    """A data directory held by this process, made if it was not there.

    Raises DatabaseError when it cannot be written, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path / LOCK_NAME, os.O_RDWR | MADE_HERE, 0o600)
            give_to_owner_of(path, path / LOCK_NAME)
        except FileExistsError as error:
            raise DatabaseError(f"data directory {path} cannot be used: it is not a directory") from error
        except OSError as error:
            raise DatabaseError(f"data directory {path} cannot be used: {explained(error, path)}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise DatabaseError(
                f"data directory {path} is held by another slad (process {holder}); stop it, or choose "
                "another directory with --data"
            ) from error
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._file)
            raise DatabaseError(f"data directory {path} cannot be used: {explained(error, path)}") from error

    def release(self) -> None:
        """Lets go of the directory."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
