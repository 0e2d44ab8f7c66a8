"""Which database this is, and which life of it.

A database has an instance id for good. A restore, or a start on a copy, begins a new epoch: what another life
of the same database has told since is not known to this one, so no sequence, no key of a message and no id
of a correction is used that the other may have used.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final
from uuid import uuid4

import apsw

from slad.storage.lock import DatabaseError

log = logging.getLogger(__name__)

SEQUENCE_STRIDE: Final = 1_000_000_000
"""A new epoch goes on at the next multiple of it."""

HOLDER_NAME: Final = "slad.holder"

MACHINE_ID: Final = Path("/etc/machine-id")


def settle_epoch(connection: apsw.Connection, database: Path, *, copies_allowed: bool = True) -> None:
    """To be called at every start: begins a new epoch when the file is a copy of the one last served.

    Raises DatabaseError instead unless `copies_allowed`.
    """
    home = home_of(database)
    with connection:
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('instance', ?)", (str(uuid4()),))
        known = connection.execute("SELECT value FROM meta WHERE name = 'home'").fetchone()
        if known == (home,):
            return
        if known is not None and not copies_allowed:
            raise DatabaseError(f"{database} is a copy; to serve it instead of the original: slad adopt")
        if known is not None:
            text = "%s is a copy: a new epoch begins, and sequences continue at a multiple of %d"
            log.warning(text, database, SEQUENCE_STRIDE)
            begin_epoch(connection)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('home', ?)", (home,))


def begin_epoch(connection: apsw.Connection, number: int | None = None) -> None:
    """Begins epoch `number`, by default the next one, in the caller's transaction.

    The next start takes its file for the original.
    """
    newest = connection.execute(
        "SELECT max(coalesce((SELECT max(sequence) FROM event), 0),"
        " coalesce((SELECT value FROM meta WHERE name = 'sequence_floor'), 0))"
    ).get
    epoch = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").get or 0
    noted = {"sequence_floor": _next_multiple(newest), "epoch": number or epoch + 1}
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", noted.items())
    connection.execute("DELETE FROM meta WHERE name = 'home'")
    _skip_message_keys(connection)


def holder_of(data: Path) -> str:
    """An id of a data directory that is held by this process. No copy has it, even if all files are copied.

    Raises OSError.
    """
    path = data / HOLDER_NAME
    if not path.exists() or not path.stat().st_size:
        path.write_text(uuid4().hex, "ascii")
        path.chmod(0o600)
    return f"{path.read_text('ascii')} {home_of(path)}"


def home_of(file: Path) -> str:
    """Where a file is, so that a copy is elsewhere: the machine and the file's own number."""
    try:
        machine = MACHINE_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        machine = ""
    return f"{machine} {os.stat(file).st_ino}"


def _skip_message_keys(connection: apsw.Connection) -> None:
    """Of messages to Temporal: a workflow drops what has a key that it has seen, or passed."""
    table = "temporal_outbox"
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is None:
        return
    newest = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", (table,)
    ).get
    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, _next_multiple(newest)))


def _next_multiple(newest: int) -> int:
    return (newest // SEQUENCE_STRIDE + 1) * SEQUENCE_STRIDE
