"""Consumers of the outbox: what they were sent and what they have acknowledged (E2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from slad.core.errors import Refused
from slad.core.events import EventType
from slad.delivery.hub import LoggedEvent
from tests.trials.simulation.ledger import Entry, Ledger, hold
from tests.trials.simulation.system import System

THRESHOLDS = {EventType.THRESHOLD_REACHED, EventType.THRESHOLD_RETRACTED}


class Reader:
    """One consumer; "mail" wants thresholds only, the others want everything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acknowledged = 0
        self.attempted: int | None = None
        """An acknowledgement whose answer was not heard."""
        self.sent: list[int] = []
        """Sequences sent since it has connected."""
        self._stream: AsyncGenerator[Sequence[LoggedEvent], None] | None = None
        self._turn: asyncio.Task[Sequence[LoggedEvent]] | None = None

    def wants(self, event: LoggedEvent) -> bool:
        return self.name != "mail" or event.type in THRESHOLDS

    def owed(self, ledger: Ledger) -> list[Entry]:
        """What has to come next."""
        position = self.sent[-1] if self.sent else self.acknowledged
        return [entry for at, entry in ledger.kept.items() if at > position and self.wants(entry.stored)]

    def ask(self, system: System) -> None:
        """Asks for the next page, on the connection it has or on a new one."""
        if self._stream is None:
            self._stream = system.consumers.stream(self.name, None, self.wants)
            self.sent.clear()
        if self._turn is None:
            self._turn = asyncio.create_task(self._next(self._stream))

    def take(self, ledger: Ledger, most: int) -> bool:
        """Takes the page if it has come: exactly what is owed, in order. Whether there was one."""
        owed, turn = self.owed(ledger), self._turn
        if turn is None or not turn.done():
            hold("E2", not owed, f"{self.name} is owed {len(owed)} events and gets none")
            return False
        self._turn = None
        try:
            page = turn.result()
        except Refused:
            self._stream = None
            return False
        hold("E2", 0 < len(page) <= most, f"{self.name} gets a page of {len(page)}")
        got = [(event.sequence, event.body) for event in page]
        expected = [(entry.stored.sequence, entry.stored.body) for entry in owed[: len(page)]]
        hold(
            "E2",
            got == expected,
            f"{self.name}, at {self.acknowledged}, gets {[at for at, _ in got]}, not {[at for at, _ in expected]}",
        )
        self.sent += [event.sequence for event in page]
        return True

    async def leave(self) -> None:
        """The connection breaks."""
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.wait({self._turn})
            if not self._turn.cancelled():
                self._turn.exception()
        if self._stream is not None:
            with suppress(Refused):
                await self._stream.aclose()
        self._stream = self._turn = None
        self.sent.clear()

    def remembered(self, acknowledged: int, ledger: Ledger) -> None:
        """Goes on from what slad has stored, which must be what was acknowledged; unless nobody heard."""
        possible = {self.acknowledged, self.attempted}
        unwanted = not any(
            self.wants(entry.stored)
            for at, entry in ledger.kept.items()
            if self.acknowledged < at <= acknowledged
        )
        skipped = self.name == "mail" and acknowledged > self.acknowledged and unwanted
        hold(
            "E2",
            acknowledged in possible or skipped,
            f"{self.name} has acknowledged {self.acknowledged}, stored is {acknowledged}",
        )
        self.acknowledged, self.attempted = acknowledged, None

    @staticmethod
    async def _next(stream: AsyncGenerator[Sequence[LoggedEvent], None]) -> Sequence[LoggedEvent]:
        return await anext(stream)
