"""Which workflow is to be told something next: one lane each, any number at the same time.

Names of workflows only; what there is for a workflow is in the outbox. A name comes in when messages for it
were committed, and is looked for in the outbox at the start.
"""

from __future__ import annotations

import asyncio
from typing import Final

from slad.storage.temporal_store import TemporalStore

MAX_READY: Final = 20_000
"""Workflows that are kept in memory as having messages; beyond, they are looked for in the outbox."""

ENOUGH_READY: Final = 32
"""With as many at hand, the outbox is not looked through for more."""

PAGE: Final = 1_000
"""Messages that are looked through at once for workflows to serve."""


class Lanes:
    """Workflows that have messages. All methods are for the event loop's thread."""

    def __init__(self, outbox: TemporalStore) -> None:
        self._outbox = outbox
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._delayed: set[str] = set()
        self._scan_from: int | None = 0
        self._work = asyncio.Event()
        self._idle = asyncio.Event()

    def add(self, name: str) -> None:
        """There are messages for this workflow."""
        if name in self._busy or name in self._delayed:
            return
        if len(self._ready) < MAX_READY:
            self._ready[name] = None
        else:
            self._scan_from = 0
        self._work.set()

    async def take(self, up: asyncio.Event) -> str:
        """The next workflow to serve, while `up` is set. Nobody else gets it before `give_back`."""
        while True:
            await up.wait()
            self._scan()
            if self._ready:
                name = next(iter(self._ready))
                del self._ready[name]
                self._busy.add(name)
                return name
            if self._scan_from is not None:
                continue
            if self._is_idle():
                self._idle.set()
            self._work.clear()
            await self._work.wait()

    def give_back(self, name: str, pause_s: float) -> None:
        """A workflow was served; it is its turn again after a pause, or with 0 when there is more for it."""
        self._busy.discard(name)
        if pause_s:
            self._delayed.add(name)
            asyncio.get_running_loop().call_later(pause_s, self._again, name)
        self._work.set()

    async def drained(self) -> None:
        """Returns once every workflow was served, but for those that are parked."""
        while not self._is_idle():
            self._idle.clear()
            await self._idle.wait()

    def _again(self, name: str) -> None:
        self._delayed.discard(name)
        self.add(name)

    def _is_idle(self) -> bool:
        return not (self._ready or self._busy or self._delayed) and self._scan_from is None

    def _scan(self) -> None:
        """Looks for workflows in the outbox: at the start, and after there were too many to keep."""
        if self._scan_from is None or len(self._ready) >= ENOUGH_READY:
            return
        page = self._outbox.waiting_after(self._scan_from, PAGE)
        self._scan_from = page[-1][0] if len(page) == PAGE else None
        for _, name in page:
            if name not in self._busy and name not in self._delayed:
                self._ready[name] = None
