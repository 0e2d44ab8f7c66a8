"""Disk faults of every sort, and power cuts, where a seed puts them; all: `python -m tests.trials.faults --full`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import apsw
import pytest

from tests.trials.faults import power
from tests.trials.faults.faulty_vfs import Created, Failure, Fault, FaultyDisk, Synced, Wrote
from tests.trials.faults.sweep import choose_faults, choose_places, reference, try_fault, try_power_cuts

SEED = 1


def test_each_sort_of_fault_leaves_what_was_acknowledged_and_slad_goes_on() -> None:
    told = reference()
    for fault in choose_faults(told.calls, SEED):
        try:
            try_fault(told, fault)
        except BaseException as error:
            error.add_note(str(fault))
            raise


def test_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    told = reference()
    tally = try_power_cuts(told, choose_places(told, SEED), SEED, ways=2)
    assert tally.left["all that was acknowledged"] > 100
    assert tally.left["and what was in flight"] > 0


def test_the_script_comes_to_every_sort_of_call() -> None:
    calls = reference().calls
    assert {"read wal", "write wal", "sync wal", "open wal", "delete wal"} <= set(calls)
    assert {"read db", "write db", "sync db", "open db", "truncate db"} <= set(calls), "checkpoints"
    assert {"open journal", "write journal", "sync journal", "delete journal"} <= set(calls), (
        "the first start"
    )
    assert calls["sync db"] >= 10


# --- the disk itself


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def table(root: Path) -> apsw.Connection:
    connection = apsw.Connection(str(root / "test.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.execute("CREATE TABLE t (x)")
    return connection


def test_a_fault_hits_once_or_stays(root: Path) -> None:
    with FaultyDisk(root) as disk:
        connection = table(root)
        disk.arm(Fault("write wal", disk.calls["write wal"] + 2, Failure.IO_ERROR))
        with pytest.raises(apsw.IOError):
            connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT INTO t VALUES (2)")
        disk.arm(Fault("sync wal", disk.calls["sync wal"] + 1, Failure.IO_ERROR, lasting=True))
        for _ in range(3):
            with pytest.raises(apsw.IOError):
                connection.execute("INSERT INTO t VALUES (3)")
        disk.repair()
        connection.execute("INSERT INTO t VALUES (4)")
        assert connection.execute("SELECT x FROM t").fetchall() == [(2,), (4,)]
        connection.close()


def test_a_full_disk_refuses_only_longer_files(root: Path) -> None:
    with FaultyDisk(root) as disk:
        connection = table(root)
        connection.execute("INSERT INTO t VALUES (zeroblob(50000))")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        disk.fill()
        connection.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(apsw.FullError):
            connection.execute("INSERT INTO t VALUES (zeroblob(500000))")
        disk.repair()
        connection.execute("INSERT INTO t VALUES (zeroblob(500000))")
        connection.close()


def test_a_checkpoint_that_fails_does_not_fail_the_commit_before_it(root: Path) -> None:
    with FaultyDisk(root) as disk:
        connection = table(root)
        disk.arm(Fault("write db", disk.calls["write db"] + 1, Failure.IO_ERROR, lasting=True))
        connection.execute("INSERT INTO t VALUES (zeroblob(500000))")
        assert disk.struck
        disk.repair()
        connection.close()


def test_what_was_synced_survives_a_power_cut_and_of_the_rest_any_sectors(tmp_path: Path) -> None:
    disk = power.Disk()
    for operation in (
        Created("/a"),
        Wrote("/a", 0, b"1" * 2048),
        Synced("/a", with_directory=True),
        Wrote("/a", 1000, b"2" * 1048),
        Created("/b"),
    ):
        disk.follow(operation)
    seen = set()
    for seed in range(50):
        disk.cut(Random(seed), 0.5, tmp_path)
        left = (tmp_path / "a").read_bytes()
        assert left[:1000] == b"1" * 1000
        assert {len(set(left[begin:end])) for begin, end in ((1000, 1024), (1024, 1536), (1536, 2048))} == {1}
        seen.add(left)
    assert len(seen) == 8
    disk.cut(Random(0), 0.0, tmp_path)
    assert (tmp_path / "a").read_bytes() == b"1" * 2048
