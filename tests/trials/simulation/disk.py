"""Where a simulated slad keeps its files: from one life to the next over what a crash leaves of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import apsw

from slad.storage.database import DATABASE_NAME
from slad.storage.row_reader import StoredEvent
from slad.storage.store import Store
from tests.trials.faults.faulty_vfs import Created, FaultyDisk, Synced, Wrote
from tests.trials.faults.power import Disk


class Ground:
    """A disk that can lose power. Each life of slad has a directory on it."""

    def __init__(self) -> None:
        self._root = TemporaryDirectory(prefix="slad-simulation-")
        self.path = Path(self._root.name) / "life-0"
        self._lives = 0
        self._disk = FaultyDisk(Path(self._root.name))

    def __enter__(self) -> Self:
        self._disk.__enter__()
        self.path.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disk.__exit__(kind, error, trace)
        self._root.cleanup()

    def crash(self, chance: float, seed: int) -> None:
        """The next life begins with what is left now. The present one may go on in its own files, unheard."""
        disk = Disk()
        for operation in self._disk.log:
            disk.follow(operation)
        self._lives += 1
        following = self.path.with_name(f"life-{self._lives}")
        following.mkdir()
        disk.cut(Random(seed), chance, following)
        self._following = following

    def events_after(self, sequence: int) -> list[StoredEvent]:
        """What the outbox holds now that nothing has it open."""
        connection = apsw.Connection(str(self.path / DATABASE_NAME))
        try:
            if not connection.table_exists(None, "event"):
                return []
            return Store(connection).events_after(sequence, 1_000_000)
        finally:
            connection.close()

    def bury(self) -> None:
        """Goes on in the files of the next life; nothing uses the former ones any more."""
        shutil.rmtree(self.path)
        self.path = self._following
        self._disk.log.clear()
        for file in sorted(self.path.iterdir()):
            path = str(file)
            self._disk.log += [Created(path), Wrote(path, 0, file.read_bytes()), Synced(path, True)]
