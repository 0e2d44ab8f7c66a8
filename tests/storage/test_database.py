"""Opening: locks, permissions, foreign, damaged and later files, and how durable it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import apsw
import pytest

from slad.storage.codec import encode
from slad.storage.database import DataDirectory, migrations, wake_mark
from slad.storage.journal import CannotWrite, Journal
from slad.storage.lock import DatabaseError
from slad.storage.rows import Batch, EventRow, TrackingRow
from slad.storage.store import Store
from tests.core.tickets import tracking


def row(key: int, ticket_id: str) -> TrackingRow:
    return TrackingRow(key, 1, ticket_id, 1, 1, 1000 + key, encode(tracking(1000)))


def test_wal_and_synchronous_full(tmp_path: Path) -> None:
    writer = DataDirectory(tmp_path).writer()
    assert writer.pragma("journal_mode") == "wal"
    assert writer.pragma("synchronous") == 2


def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        directory = DataDirectory(tmp_path / "data")
        writer = directory.writer()
        Journal(writer).commit(Batch(created=[row(1, "T")]))
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names >= {"slad.db", "slad.db-wal", "slad.lock"}
    for path in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_directory_has_one_holder(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    with pytest.raises(DatabaseError, match=rf"held by another slad \(process {os.getpid()}\)"):
        DataDirectory(tmp_path)
    first.close()
    DataDirectory(tmp_path).close()


def test_a_database_of_a_later_slad_is_refused_and_left_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    connection = directory.writer()
    later = migrations()[-1][0] + 1
    connection.pragma("user_version", later)
    connection.close()
    directory.close()
    before = (tmp_path / "slad.db").read_bytes()
    with pytest.raises(DatabaseError, match=f"has schema {later}"):
        DataDirectory(tmp_path)
    assert (tmp_path / "slad.db").read_bytes() == before


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "slad.db"))
    connection.execute("PRAGMA application_id = 7; CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(DatabaseError, match="belongs to another application"):
        DataDirectory(tmp_path)


def test_a_damaged_database_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "slad.db").write_bytes(b"not a database at all" * 500)
    with pytest.raises(DatabaseError, match=r"is damaged.*restore a backup"):
        DataDirectory(tmp_path)


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="cannot be used"):
        DataDirectory(tmp_path / "file")


def test_migrations_are_numbered_from_1() -> None:
    numbers = [number for number, _ in migrations()]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))


def test_a_batch_is_all_or_nothing_and_the_journal_goes_on(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    journal, store = Journal(directory.writer()), Store(directory.reader())
    journal.commit(Batch(created=[row(1, "A")]))
    with pytest.raises(CannotWrite):
        # The second row breaks a unique index, after the first one and the event were written.
        journal.commit(Batch(created=[row(2, "B"), row(3, "B")], events=[EventRow(1, 2, 1, 1, b"")]))
    assert store.by_key(2) is None
    assert store.events_after(0, 10) == []
    journal.commit(Batch(created=[row(2, "B")]))
    found = store.latest(1, "B")
    assert found
    assert found.tracking == tracking(1000)


def test_a_full_disk_is_told_from_other_faults(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    writer = directory.writer()
    journal = Journal(writer)
    writer.pragma("max_page_count", writer.pragma("page_count"))
    big = [EventRow(n, 1, 1, 1, b"x" * 4000) for n in range(1, 50)]
    with pytest.raises(CannotWrite) as caught:
        journal.commit(Batch(events=big))
    assert caught.value.disk_full
    writer.pragma("max_page_count", 1_000_000)
    journal.commit(Batch(events=big))
    assert len(Store(directory.reader()).events_after(0, 100)) == 49


def test_a_new_time_zone_database_makes_every_wake_due(tmp_path: Path) -> None:
    """B5: the stored wakes were derived from the old one."""
    directory = DataDirectory(tmp_path)
    writer = directory.writer()
    Journal(writer).commit(Batch(created=[row(1, "A")]))
    directory.close()
    DataDirectory(tmp_path).close()
    store = Store(directory.reader())
    assert store.wake_of(1) == 1001, "the same database: nothing to do"
    writer.execute("UPDATE meta SET value = '1999.1' WHERE name = 'tzdata'")
    writer.close()
    DataDirectory(tmp_path).close()
    assert store.wake_of(1) == wake_mark(1001)
