"""Checkpoints beside the commits: what they copy, what they wait for, what they do not break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from slad.storage.checkpoint import Checkpointer
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.rows import Batch, EventRow
from slad.storage.store import Store
from tests.trials.faults.faulty_vfs import Failure, Fault, FaultyDisk

WAL_PAGES = 20
PAGE = 4_096
EVENT = bytes(2_000)


class Beside:
    """Runs what is given to it when it is told."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, run: Callable[[], None]) -> None:
        self.waiting.append(run)

    def catch_up(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class Rig:
    def __init__(self, path: Path) -> None:
        self.data = DataDirectory(path)
        self.writer = self.data.writer()
        self.beside = Beside()
        self.checkpointer = Checkpointer(
            self.writer, self.data.checkpointer(), wal_pages=WAL_PAGES, beside=self.beside
        )
        self.journal = Journal(self.writer, self.checkpointer)
        self.sequence = 0

    def commit(self, times: int = 1) -> None:
        for _ in range(times):
            self.sequence += 1
            self.journal.commit(Batch(events=[EventRow(self.sequence, 1, 1, 1, EVENT)]))

    def commit_until_asked(self) -> None:
        while not self.beside.waiting:
            self.commit()

    def wal_bytes(self) -> int:
        return self.data.usage().wal

    def events_without_the_wal(self) -> int:
        """What a copy of the database file alone holds."""
        alone = self.data.path / "alone.db"
        alone.write_bytes(self.data.database.read_bytes())
        connection = apsw.Connection(str(alone))
        try:
            return int(connection.execute("SELECT count(*) FROM event").get)
        finally:
            connection.close()

    def close(self) -> None:
        self.journal.close()
        self.data.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "data")
    yield made
    made.close()


def test_commits_do_not_copy_a_long_wal(rig: Rig) -> None:
    rig.commit_until_asked()
    rig.commit(50)
    assert rig.events_without_the_wal() == 0
    assert len(rig.beside.waiting) == 1, "it is asked for once"


def test_what_was_committed_is_copied_beside(rig: Rig) -> None:
    rig.commit_until_asked()
    committed = rig.sequence
    rig.beside.catch_up()
    assert rig.events_without_the_wal() == committed


def test_the_next_commit_copies_what_came_meanwhile_and_the_wal_begins_anew(rig: Rig) -> None:
    rig.commit_until_asked()
    rig.beside.catch_up()
    rig.commit()
    assert rig.events_without_the_wal() == rig.sequence
    largest = rig.wal_bytes()
    for _ in range(20):
        rig.commit_until_asked()
        rig.beside.catch_up()
    assert rig.wal_bytes() <= largest + 4 * PAGE
    assert Store(rig.data.reader()).events_owed(0) == rig.sequence


def test_an_old_view_lets_the_wal_grow_until_it_ends(rig: Rig) -> None:
    rig.commit()
    view = Store(rig.data.reader()).snapshot()
    asked = 0
    for _ in range(200):
        rig.commit()
        asked += len(rig.beside.waiting)
        rig.beside.catch_up()
    grown = rig.wal_bytes()
    assert grown > 5 * WAL_PAGES * PAGE
    assert asked < 60, "not at every commit"
    assert view.events_owed(0) == 1
    view.close()
    for _ in range(200):
        rig.commit()
        rig.beside.catch_up()
    assert rig.wal_bytes() <= grown + WAL_PAGES * PAGE


def test_a_checkpoint_that_fails_fails_no_commit_and_is_tried_again(tmp_path: Path) -> None:
    with FaultyDisk(tmp_path) as disk:
        rig = Rig(tmp_path / "data")
        for _ in range(2):
            rig.commit_until_asked()
            rig.beside.catch_up()
            copied = rig.events_without_the_wal()
            disk.arm(Fault("write db", disk.calls["write db"] + 1, Failure.IO_ERROR))
            rig.commit()
            assert disk.struck
            assert rig.events_without_the_wal() == copied
            disk.arm(Fault("write db", disk.calls["write db"] + 1, Failure.IO_ERROR))
            rig.commit_until_asked()
            rig.beside.catch_up()
            assert disk.struck
            assert rig.events_without_the_wal() == copied
            rig.commit()
            assert rig.events_without_the_wal() == rig.sequence
        rig.close()


def test_on_its_thread_beside_commits_and_reads(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    writer = data.writer()
    journal = Journal(writer, Checkpointer(writer, data.checkpointer(), wal_pages=WAL_PAGES))
    reader = Store(data.reader())
    for sequence in range(1, 2_001):
        journal.commit(Batch(events=[EventRow(sequence, 1, 1, 1, EVENT)]))
        assert reader.nth_newest_event(0) == sequence
    assert data.usage().wal < 2_000 * PAGE, "it began anew"
    assert reader.complaints() == []
    reader.close()
    journal.close()
    assert not data.database.with_name("slad.db-wal").exists(), "folded in by the last to close"
    data.close()
