"""Root in the data directory of slad's user: what it leaves there is that user's, and it follows no link."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slad.storage.backup import back_up, restore
from slad.storage.database import DATABASE_NAME, LAST_BACKUP, DataDirectory, mark
from slad.storage.lock import LOCK_NAME, DatabaseError
from slad.storage.swap import INCOMING

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SLADS_USER = 12345


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A database of another user."""
    made = tmp_path / "data"
    DataDirectory(made).close()
    for path in (*made.iterdir(), made):
        os.chown(path, SLADS_USER, SLADS_USER)
    return made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file of root's that a link in the data directory leads to."""
    path = tmp_path / "target"
    path.write_text("root's")
    return path


def owners(data: Path) -> set[int]:
    return {path.lstat().st_uid for path in (*data.iterdir(), data)}


def is_untouched(target: Path) -> bool:
    return target.read_text() == "root's" and target.stat().st_uid == 0


def test_a_backup_s_mark_follows_no_link(data: Path, target: Path, tmp_path: Path) -> None:
    (data / LAST_BACKUP).symlink_to(target)
    os.utime(target, (0, 0))
    back_up(data, tmp_path / "backup")
    assert is_untouched(target)
    assert target.stat().st_mtime == 0
    (data / LAST_BACKUP).unlink()
    mark(data, LAST_BACKUP, 1_000)
    assert ((data / LAST_BACKUP).stat().st_mtime, owners(data)) == (1, {SLADS_USER})


def test_a_mark_waits_for_no_pipe(data: Path) -> None:
    os.mkfifo(data / LAST_BACKUP)
    mark(data, LAST_BACKUP)


def test_the_lock_is_no_link(data: Path, target: Path) -> None:
    (data / LOCK_NAME).unlink()
    (data / LOCK_NAME).symlink_to(target)
    with pytest.raises(DatabaseError, match="cannot be used"):
        DataDirectory(data, as_guest=True)
    assert is_untouched(target)


def test_a_restore_follows_no_link(data: Path, target: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "backup")
    (data / INCOMING).symlink_to(target)
    with pytest.raises(DatabaseError, match="cannot be written"):
        restore(tmp_path / "backup", data, replace=True)
    assert is_untouched(target)


def test_what_a_restore_makes_is_the_user_s(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "backup")
    for path in data.iterdir():
        path.unlink()
    restore(tmp_path / "backup", data)
    assert (data / DATABASE_NAME).exists()
    assert owners(data) == {SLADS_USER}


def test_quarantine_works_when_the_user_is_gone(data: Path) -> None:
    """Under systemd slad's user is there only while slad runs."""
    command = [sys.executable, "-m", "slad", "doctor", "--data", str(data), "--quarantine"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert owners(data) == {SLADS_USER}
