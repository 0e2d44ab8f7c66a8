"""A PostgreSQL of the test's own, out of Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PATIENCE_S = 120
"""For what is sure to come, on a machine that may be slow."""


@contextmanager
def postgresql_running() -> Iterator[str]:
    """The URL of an empty database, on a Unix socket of its own."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    # Not below pytest's own folders: root alone may look into them, and PostgreSQL does not run as root.
    with TemporaryDirectory(prefix="slad-pg-") as folder:
        user: list[str] = []
        if os.geteuid() == 0:
            user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(folder, "postgres", "postgres")
        data = f"{folder}/data"
        _run(*user, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", cwd=folder)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c timezone=UTC"
        control = (*user, pg_ctl, "-D", data)
        _run(*control, "-l", f"{folder}/log", "-o", options, "-w", "start", cwd=folder)
        try:
            yield f"postgres://postgres@localhost/postgres?host={folder}"
        finally:
            _run(*control, "-m", "immediate", "stop", cwd=folder)


def _program(name: str) -> str:
    """The path of one of PostgreSQL's own programs, which Debian has apart from the others."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip("PostgreSQL is missing; install it: apt-get install postgresql")
    return found


def _run(*command: str, cwd: str) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
