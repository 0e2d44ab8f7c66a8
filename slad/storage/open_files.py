"""Are the open files still the database's? What goes into a removed file is lost with the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SUFFIXES: Final = ("", "-wal", "-shm")


class MayNotWrite(Exception):  # noqa: N818 - what is the case, not what it is
    """What slad would write now would not be its own any more."""


class FilesLost(MayNotWrite):
    """A file of the database was removed, moved or replaced while slad has it open."""


class OpenFiles:
    """The files of a database that is open. `check` is cheap enough for every transaction: some 5 µs."""

    def __init__(self, database: Path) -> None:
        self._paths = [os.fspath(database.with_name(database.name + suffix)) for suffix in SUFFIXES]
        self._known: dict[str, tuple[int, int]] = {}

    def check(self) -> None:
        """Raises FilesLost unless every file that was seen before is still the same one."""
        known = self._known
        for path in self._paths:
            try:
                found = os.stat(path)
            except OSError:
                if path in known:
                    raise FilesLost(f"{path} was removed or moved while slad has it open") from None
                continue
            identity = found.st_dev, found.st_ino
            if known.setdefault(path, identity) != identity:
                raise FilesLost(f"{path} was replaced while slad has it open")
