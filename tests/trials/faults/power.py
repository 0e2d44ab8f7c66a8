"""What a power cut leaves of the files whose log a FaultyDisk has kept.

Of each file its content at the last sync, and of what was written since any part: sector by sector, for a
write may be torn. Of the directory its names at its last sync, and any of the changes since.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

from tests.trials.faults.faulty_vfs import Created, Deleted, Milestone, Operation, Synced, Truncated, Wrote

SECTOR = 512

CHANCES = (0.5, 0.0, 1.0, 0.1, 0.9)
"""With which a sector that was not synced is there all the same, by turns: also none and all of them."""


class _Content:
    def __init__(self) -> None:
        self.synced = bytearray()
        self.since: list[Wrote | Truncated] = []


class Disk:
    """The files as they are at one place of the log."""

    def __init__(self) -> None:
        self._names: dict[str, _Content] = {}
        self._durable_names: dict[str, _Content] = {}
        self._renamings: list[tuple[str, _Content | None]] = []
        self.commits = 0
        """How many commits had returned."""

    def follow(self, operation: Operation) -> None:
        """Goes on by one operation of the log."""
        match operation:
            case Created(path):
                self._names[path] = _Content()
                self._renamings.append((path, self._names[path]))
            case Deleted(path, with_directory):
                del self._names[path]
                self._renamings.append((path, None))
                self._settle_names(with_directory)
            case Wrote(path) | Truncated(path):
                self._names[path].since.append(operation)
            case Synced(path, with_directory):
                content = self._names[path]
                for change in content.since:
                    _apply(content.synced, change)
                content.since.clear()
                self._settle_names(with_directory)
            case Milestone(commits):
                self.commits = commits

    def cut(self, random: Random, chance: float, target: Path) -> None:
        """Writes to the directory `target` what may be left if the power fails now."""
        names = dict(self._durable_names)
        for path, content in self._renamings:
            if random.random() < chance:
                if content is None:
                    names.pop(path, None)
                else:
                    names[path] = content
        for path, content in names.items():
            left = bytearray(content.synced)
            for change in content.since:
                for part in _sectors(change):
                    if random.random() < chance:
                        _apply(left, part)
            (target / Path(path).name).write_bytes(left)

    def _settle_names(self, settled: bool) -> None:
        if settled:
            self._durable_names = dict(self._names)
            self._renamings.clear()


def _apply(content: bytearray, change: Wrote | Truncated) -> None:
    if isinstance(change, Truncated):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _sectors(change: Wrote | Truncated) -> list[Wrote | Truncated]:
    if isinstance(change, Truncated):
        return [change]
    begin, end = change.offset, change.offset + len(change.data)
    cuts = [begin, *range((begin // SECTOR + 1) * SECTOR, end, SECTOR), end]
    return [
        Wrote(change.path, start, change.data[start - begin : stop - begin]) for start, stop in pairwise(cuts)
    ]
