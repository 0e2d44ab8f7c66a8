"""Tells the clients when there is a daemon to talk to, and when to hold still."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class Run(NamedTuple):
    """One run of the daemon, from ready to dead."""

    number: int
    address: str


class Gate:
    def __init__(self) -> None:
        self._run = Run(0, "")
        self._changed = asyncio.Condition()
        self._go = asyncio.Event()
        self._go.set()
        self._idle = 0

    @property
    def run_number(self) -> int:
        """Of the latest run that became ready."""
        return self._run.number

    async def open(self, address: str) -> None:
        """The daemon is ready."""
        async with self._changed:
            self._run = Run(self._run.number + 1, address)
            self._changed.notify_all()

    async def next_run(self, after: int) -> Run:
        """The next run after number `after`; waits for it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._run.number > after)
            return self._run

    async def hold(self, lanes: int) -> None:
        """Stops the load; returns when all lanes have learned what became of their commands."""
        self._go.clear()
        async with self._changed:
            await self._changed.wait_for(lambda: self._idle >= lanes)

    def release(self) -> None:
        self._go.set()

    async def pass_by(self) -> None:
        """Called by a lane between two commands."""
        if not self._go.is_set():
            async with self._changed:
                self._idle += 1
                self._changed.notify_all()
            try:
                await self._go.wait()
            finally:
                self._idle -= 1
