"""What `slad doctor` says of a Litestream that is there, is not, stands still, or makes thresholds late."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slad.core.instants import HOUR_MS, MINUTE_MS
from slad.engine.doctor import CheckResult, Severity
from slad.engine.replica_checks import examine_litestream, examine_replication
from slad.storage.database import REPLICA_KNOWS, mark
from tests.paths import ROOT

NOW = 1_800_000_000_000
SHIPPED = ROOT / "ops" / "litestream" / "litestream.yml"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "slad.db"


def touch(path: Path, instant: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, ns=(instant * 1_000_000, instant * 1_000_000))


def litestream_read(database: Path, instant: int) -> None:
    """As Litestream 0.5 keeps what it has read: a folder for each level, the newest in level 0."""
    folder = database.parent / ".slad.db-litestream" / "ltx" / "0"
    touch(folder / "0000000000000007-0000000000000007.ltx", instant - MINUTE_MS)
    touch(folder / "0000000000000008-0000000000000008.ltx", instant)


def found(database: Path, *, is_external: bool) -> dict[str, CheckResult]:
    return {one.check: one for one in examine_replication(database, is_external=is_external, now=NOW)}


def test_a_database_that_nobody_replicates_needs_no_word(database: Path) -> None:
    assert found(database, is_external=False) == {}


def test_litestream_and_slad_that_both_merge(database: Path) -> None:
    litestream_read(database, NOW)
    check = found(database, is_external=False)["checkpoints"]
    assert check.severity is Severity.WARNING
    assert 'set storage.checkpoints = "external"' in check.text
    litestream_read(database, NOW - 2 * HOUR_MS)
    assert found(database, is_external=False) == {}, "it was here once, and left"


def test_nobody_who_merges(database: Path) -> None:
    check = found(database, is_external=True)["checkpoints"]
    assert (check.severity, check.text[-27:]) == (Severity.FAILURE, "; the WAL grows without end")


def test_a_litestream_that_stands_still(database: Path) -> None:
    touch(database.with_name("slad.db-wal"), NOW)
    litestream_read(database, NOW - 30_000)
    assert found(database, is_external=True)["checkpoints"].severity is Severity.OK
    litestream_read(database, NOW - 61_000)
    check = found(database, is_external=True)["checkpoints"]
    assert check.severity is Severity.FAILURE
    assert check.text.startswith(
        "Litestream has read nothing since 2027-01-15T07:58:59Z, but slad has written: no"
    )


def test_a_quiet_database_is_no_litestream_that_stands_still(database: Path) -> None:
    touch(database.with_name("slad.db-wal"), NOW - 5 * HOUR_MS)
    litestream_read(database, NOW - 5 * HOUR_MS)
    assert found(database, is_external=True)["checkpoints"].severity is Severity.OK


def test_a_replica_that_was_never_read_back_and_one_that_does_not_move(database: Path) -> None:
    assert found(database, is_external=True)["replica"].severity is Severity.WARNING
    mark(database.parent, REPLICA_KNOWS, NOW - HOUR_MS)
    assert found(database, is_external=True)["replica"].severity is Severity.OK
    mark(database.parent, REPLICA_KNOWS, NOW - 3 * HOUR_MS)
    check = found(database, is_external=True)["replica"]
    assert (check.severity, check.text[-20:]) == (Severity.FAILURE, "2027-01-15T05:00:00Z")


def test_the_configuration_that_is_shipped_makes_no_threshold_late(database: Path) -> None:
    assert [check.severity for check in examine_litestream(SHIPPED, database)] == [Severity.OK]


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        (
            "",
            "truncate-page-n is 121359; beyond this number of pages in the WAL, Litestream stops all commits",
        ),
        ("truncate-page-n: 5000", "truncate-page-n is 5000; beyond"),
        (
            "truncate-page-n: 1000000\n    min-checkpoint-page-count: 100000",
            "min-checkpoint-page-count is 100000; Litestream merges this many pages under the write lock",
        ),
    ],
)
def test_settings_that_make_thresholds_late(database: Path, setting: str, complaint: str) -> None:
    file = database.with_name("litestream.yml")
    file.write_text(f"dbs:\n  - path: {database}\n    {setting}\n  - path: /another.db\n")
    (check,) = examine_litestream(file, database)
    assert check.severity is Severity.WARNING
    assert complaint in check.text


def test_a_configuration_of_other_databases_or_that_is_none(database: Path) -> None:
    file = database.with_name("litestream.yml")
    file.write_text("dbs:\n  - path: /another.db\n")
    assert list(examine_litestream(file, database)) == []
    file.write_text("dbs: 7\n")
    (check,) = examine_litestream(file, database)
    assert (check.severity, "litestream.yml cannot be read" in check.text) == (Severity.WARNING, True)
