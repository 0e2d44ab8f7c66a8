"""A sink that appends CloudEvents to a file, one a line. It is also the example of how to write a sink.

Each batch is on disk (fsync) when it is acknowledged. The file is opened anew for each, so it may be moved
away at any time. A line that a crash or a full disk tore is cut off before the next one is written: it was
never acknowledged, so it comes again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from slad_client.v1 import types_pb2 as pb

from slad.config.kinds import SettingError
from slad.config.sinks import JsonlSettings
from slad.delivery.sinks import formats
from slad.delivery.sinks.sink import Sink, Unavailable
from slad.storage.store import Lineage

BATCH: Final = 256
BLOCK: Final = 4_096
"""Bytes that are read at once, from the end, to find the last whole line."""


def prepare(settings: JsonlSettings) -> Callable[[Lineage], Sink]:
    """How to open such a sink. Raises SettingError."""
    if not settings.path.parent.is_dir():
        raise SettingError("path", f"{settings.path.parent} is not a directory")
    return lambda lineage: JsonLines(settings.path, settings.source, lineage)


class JsonLines:
    """Appends to the file at `path`, which only its owner may read if it is made here."""

    batch = BATCH
    parallel = 1

    def __init__(self, path: Path, source: str, lineage: Lineage) -> None:
        self._path = path
        self._source = source
        self._lineage = lineage

    @property
    def target(self) -> str:
        """The file."""
        return str(self._path)

    async def deliver(self, events: Sequence[pb.SlaEvent]) -> None:
        """Appends a line an event. Raises Unavailable."""
        told = (formats.cloud_event(event, self._source, self._lineage) for event in events)
        lines = (formats.encode(event) + b"\n" for event in told)
        try:
            await asyncio.to_thread(self._append, b"".join(lines))
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written: {error.strerror}") from error

    async def close(self) -> None:
        """Nothing is open between batches."""

    def _append(self, data: bytes) -> None:
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", 0) as file:
            end = _end_of_last_line(file.fileno())
            file.truncate(end)
            file.seek(end)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())


def _end_of_last_line(file: int) -> int:
    """How far the file consists of whole lines."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - BLOCK)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
