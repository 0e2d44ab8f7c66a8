"""Reads a replica back: only what can be restored from it counts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from slad.storage.backup import look_into
from slad.storage.database import DATABASE_NAME
from slad.storage.lock import DatabaseError


def known_until(replica: str) -> int | None:
    """The instant (UTC epoch ms) before which `replica` knows all that was acknowledged; None: nothing.

    `replica` is the path of a database that Litestream follows, or a URL, from which Litestream then restores
    to the directory for temporary files. Raises DatabaseError.
    """
    if "://" not in replica:
        with look_into(Path(replica)) as store:
            return store.known_until()
    litestream = shutil.which("litestream")
    if litestream is None:
        raise DatabaseError("litestream is not on the PATH")
    with TemporaryDirectory(prefix="slad-replica-") as folder:
        copy = Path(folder) / DATABASE_NAME
        command = [litestream, "restore", "-o", os.fspath(copy), replica]
        run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a list
        if run.returncode:
            lines = (run.stderr.strip() or run.stdout.strip()).splitlines()
            raise DatabaseError(f"{replica} cannot be restored: {lines[-1] if lines else run.returncode}")
        with look_into(copy) as store:
            return store.known_until()
