"""The step of a restore that puts a database in place of another; a start does what a crash left undone.

A complete copy has a name of its own. While there is one, whatever else is there is the former database or a
part of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from slad.storage.kill_points import DATABASE_MOVED, WAL_MOVED, kill_point
from slad.storage.lock import DatabaseError

INCOMING: Final = "slad.db.incoming"
"""A copy that is not complete."""

COMPLETE: Final = "slad.db.restored"
"""A copy that is complete and durable, and is to be put in place."""

FORMER: Final = ".before-restore-"


def finish_restore(database: Path) -> Path | None:
    """Puts a complete copy in place, if there is one; the path to which a former database was moved, if any.

    To be called with the directory locked. Raises OSError; the next call then goes on where this one ended.
    """
    complete = database.with_name(COMPLETE)
    if not complete.exists():
        return None
    former = _free_name(database)
    # The WAL first: beside another database SQLite would take it for that one's.
    _move(database.with_name(f"{database.name}-wal"), former.with_name(f"{former.name}-wal"))
    kill_point(WAL_MOVED)
    is_moved = _move(database, former)
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)
    kill_point(DATABASE_MOVED)
    complete.rename(database)
    sync(database.parent)
    return former if is_moved else None


def refuse_leftovers(database: Path) -> None:
    """Raises DatabaseError if there is no database but files of one are left: a new one must not begin."""
    names = sorted(path.name for path in database.parent.glob(f"{database.name}?*"))
    names = [name for name in names if not name.endswith("-shm")]
    if database.exists() or not names:
        return
    former = [name for name in names if FORMER in name and not name.endswith("-wal")]
    instead = f", or move {former[-1]} back to {database.name}" if former else ""
    raise DatabaseError(
        f"there is no {database.name} in {database.parent}, but {', '.join(names)}: a database was lost, "
        f"or a restore was interrupted. Restore a backup (slad restore FILE){instead}; "
        "to begin with no tickets, move these files away"
    )


def sync(path: Path) -> None:
    """Makes a file or the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(path: Path, target: Path) -> bool:
    if not path.exists():
        return False
    path.rename(target)
    return True


def _free_name(database: Path) -> Path:
    number = 1
    while (path := database.with_name(f"{database.name}{FORMER}{number}")).exists():
        number += 1
    return path
