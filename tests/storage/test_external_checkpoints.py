"""storage.checkpoints = external: another program merges the WAL, and writes rows of its own beside slad."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import apsw
import pytest

from slad.storage.database import DataDirectory
from slad.storage.journal import CannotWrite, Journal
from slad.storage.rows import Batch, EventRow

MANY = 1_500
"""More pages than SQLite lets gather in the WAL by itself."""


def event(sequence: int) -> Batch:
    return Batch(events=[EventRow(sequence, 1, 1, 1, bytes(5_000))])


def other(data: DataDirectory) -> apsw.Connection:
    """What Litestream does: a table of its own, under the write lock."""
    connection = apsw.Connection(str(data.database))
    connection.set_busy_timeout(5_000)
    connection.execute("CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    return connection


def test_no_connection_merges_the_wal_not_even_the_last_to_close(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path, external_checkpoints=True)
    before = data.database.stat().st_size
    journal = Journal(data.writer())
    for sequence in range(1, MANY):
        journal.commit(event(sequence))
    journal.close()
    data.close()
    wal = tmp_path / "slad.db-wal"
    assert wal.stat().st_size > MANY * 4_096
    DataDirectory(tmp_path, external_checkpoints=True).close()
    assert wal.stat().st_size > MANY * 4_096
    assert data.database.stat().st_size == before
    # Whoever merges it then finds all of it.
    assert apsw.Connection(str(data.database)).execute("SELECT count(*) FROM event").get == MANY - 1


def test_a_commit_waits_for_the_one_who_has_the_write_lock(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path, external_checkpoints=True)
    journal, litestream = Journal(data.writer()), other(data)
    journal.begin()
    assert journal.store.oldest_event() is None
    litestream.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.1, lambda: litestream.execute("ROLLBACK"))
    began = time.monotonic()
    release.start()
    journal.commit(event(1))
    assert time.monotonic() - began > 0.05
    release.join()
    assert journal.store.oldest_event() == 1


def test_a_commit_heeds_what_another_has_written_since_the_turn_began(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path, external_checkpoints=True)
    journal, litestream = Journal(data.writer()), other(data)
    journal.begin()
    assert journal.store.oldest_event() is None
    litestream.execute("INSERT INTO _litestream_seq VALUES (1, 1)")
    journal.commit(event(1))
    assert journal.store.oldest_event() == 1
    assert litestream.execute("SELECT seq FROM _litestream_seq").get == 1


def test_a_lock_that_is_not_let_go_fails_the_commit_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slad.storage.database.BUSY_TIMEOUT_MS", 50)
    data = DataDirectory(tmp_path, external_checkpoints=True)
    journal, litestream = Journal(data.writer()), other(data)
    litestream.execute("BEGIN IMMEDIATE")
    journal.begin()
    with pytest.raises(CannotWrite, match="locked"):
        journal.commit(event(1))
    litestream.execute("ROLLBACK")
    assert journal.store.oldest_event() is None
    journal.commit(event(1))
    assert journal.store.oldest_event() == 1
