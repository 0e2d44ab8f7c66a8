"""What the doctor finds beside the stored values: files, space, tokens (see also tests/storage)."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from slad.core.instants import DAY_MS
from slad.engine.doctor import CheckResult, Severity, examine, examine_files
from slad.storage.backup import inspect
from slad.storage.database import DataDirectory
from slad.storage.journal import Journal
from slad.storage.rows import Batch, TokenRow

NOW = 1_772_442_000_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    directory = DataDirectory(tmp_path / "data")
    directory.close()
    return directory.database


def warned(database: Path) -> list[CheckResult]:
    return [result for result in examine_files(database) if result.severity is not Severity.OK]


def test_a_directory_as_slad_makes_it_is_well(database: Path) -> None:
    assert [result.check for result in examine_files(database)] == ["space"]


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o730])
def test_what_others_may_use_is_told(database: Path, mode: int) -> None:
    database.parent.chmod(mode)
    (result,) = warned(database)
    assert result.check == "access"
    assert f"{database.parent} (mode {mode:04o})" in result.text
    database.parent.chmod(0o750)
    assert not warned(database), "a group that may read is for backups"
    database.chmod(0o644)
    assert f"{database} (mode 0644)" in warned(database)[0].text


def test_little_space_and_no_right_to_write_are_told(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=5, f_frsize=1024 * 1024))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    access, space = warned(database)
    assert "this user cannot write" in access.text
    assert (space.check, space.text.split(";")[0]) == ("space", "5 MiB are free")


def token(name: str, expires_at: int | None, revoked_at: int | None = None) -> TokenRow:
    return TokenRow(f"id-{name}", name, 1, "", name.encode(), None, None, 0, expires_at, None, revoked_at)


def test_tokens_that_expire_are_told_while_there_is_time(database: Path) -> None:
    directory = DataDirectory(database.parent)
    journal = Journal(directory.writer())
    journal.commit(
        Batch(
            tokens=[
                token("lasting", None),
                token("far", NOW + 22 * DAY_MS),
                token("near", NOW + 20 * DAY_MS),
                token("past", NOW - 1),
                token("revoked", NOW - 1, NOW - 2),
            ]
        )
    )
    journal.close()
    directory.close()
    with inspect(database.parent) as store:
        texts = [result.text for result in examine(store, NOW) if result.check == "expiry"]
    assert [text.split(";")[0] for text in texts] == [
        "token id-near (near) expires on 2026-03-22T09:00:00Z",
        "token id-past (past) expired on 2026-03-02T08:59:59.999Z",
    ]
