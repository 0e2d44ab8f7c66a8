"""What keeps slad from starting is one line and an exit code, and nothing is half started."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from slad.storage.database import DATABASE_NAME, DataDirectory
from tests.system.e2e.slad_process import COMMAND, slad_process

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv of util-linux"
)

_POWERS = "-dac_override,-dac_read_search"
POWERLESS = ("setpriv", f"--bounding-set={_POWERS}", f"--inh-caps={_POWERS}", "--")
"""Root, but for the power to read and write what the mode of a file forbids."""


def refused(*arguments: str | Path, code: int = 3, before: tuple[str, ...] = ()) -> str:
    """The one line with which `slad serve` does not start."""
    done = subprocess.run(
        [*before, COMMAND, "serve", "--listen", "127.0.0.1:0", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("slad: ")
    return line


@contextmanager
def mounted(path: Path, options: str) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def starts(data: Path) -> bool:
    with slad_process("--listen", "127.0.0.1:0", "--data", str(data)) as slad:
        return slad.terminate() == 0


def test_a_wrong_configuration(tmp_path: Path) -> None:
    path = tmp_path / "slad.toml"
    for text, complaint in (
        ("lisen = []", "lisen: there is no such setting; did you mean 'listen'?"),
        ("listen = 7", "listen: 7 is not a text in quotes or a list of them"),
        ("listen = [", "is not TOML"),
        ('[log]\nlevel = "loud"', "log.level: 'loud' is not one of debug, info, warning, error"),
    ):
        path.write_text(text)
        line = refused("--config", path, "--data", tmp_path / "data", code=2)
        assert str(path) in line
        assert complaint in line
    assert "cannot be read: No such file" in refused("--config", tmp_path / "none", code=2)
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with slad_process("--listen", "127.0.0.1:0", "--data", str(tmp_path / "a")) as slad:
        (address,) = slad.addresses
        line = refused("--listen", address, "--data", tmp_path / "b")
        assert f"cannot listen on {address}: it is in use" in line
    assert starts(tmp_path / "b")


@AS_ROOT
def test_a_key_that_cannot_be_read(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(0o000)
    options = ("--tls-cert", tmp_path / "key", "--tls-key", key, "--data", tmp_path / "data")
    assert "key cannot be read: Permission denied" in refused(*options, before=POWERLESS)
    assert not (tmp_path / "data").exists()


@AS_ROOT
def test_a_read_only_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro") as disk:
        line = refused("--data", disk)
        assert f"data directory {disk} cannot be used: Read-only file system; mount it for writing" in line


@AS_ROOT
def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=256k") as disk:
        filler = disk / "filler"
        _fill(filler)
        line = refused("--data", disk)
        assert "make room" in line
        filler.unlink()
        assert starts(disk), "what the attempt left does no harm"


def _fill(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, b"x" * 4096)
    except OSError:
        return
    finally:
        os.close(file)


@AS_ROOT
def test_a_data_directory_of_another_user(tmp_path: Path) -> None:
    data = tmp_path / "data"
    DataDirectory(data).close()
    for path in (*data.iterdir(), data):
        os.chown(path, 12345, 12345)
    assert "slad.db belongs to user 12345, who could not open files that root creates there" in refused(
        "--data", data
    )
    line = refused("--data", data, before=POWERLESS)
    assert "Permission denied" in line
    assert "belongs to user 12345, and slad runs as root" in line
    assert {path.stat().st_uid for path in data.iterdir()} == {12345}


def test_a_data_directory_of_another_version_or_application(tmp_path: Path) -> None:
    data = tmp_path / "data"
    DataDirectory(data).close()
    connection = apsw.Connection(str(data / DATABASE_NAME))
    connection.pragma("user_version", 9_999)
    connection.close()
    before = (data / DATABASE_NAME).read_bytes()
    assert "the database has schema 9999, this slad knows up to" in refused("--data", data)
    assert (data / DATABASE_NAME).read_bytes() == before
    other = tmp_path / "other"
    other.mkdir()
    connection = apsw.Connection(str(other / DATABASE_NAME))
    connection.execute("PRAGMA application_id = 7; CREATE TABLE theirs (x)")
    connection.close()
    assert "belongs to another application" in refused("--data", other)
