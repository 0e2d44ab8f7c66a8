"""The pass-through goes on after a database that cannot be read, a damaged row, or a surprise."""

from __future__ import annotations

import asyncio
from typing import Any

import apsw
import pytest

from slad.core.backoff import Backoff
from slad.core.errors import Refusal, Refused
from slad.core.facts import FactKind
from slad.engine.time_source import VirtualClock
from slad.storage.codec import Message
from slad.storage.row_reader import Waiting
from slad.storage.rows import TemporalTicketRow
from slad.storage.unreadable import Unreadable
from slad.temporal.faults import Concern, TemporalFault
from slad.temporal.passthrough import control, examiner, forwarder
from slad.temporal.passthrough.examiner import Examiner
from slad.temporal.passthrough.forwarder import Forwarder
from slad.temporal.passthrough.lanes import Lanes

REFUSED = Refused(Refusal.UNAVAILABLE, "TEMPORAL_UNREACHABLE", "Temporal cannot be reached")


class Up:
    """A link that is up."""

    sender: Any = None

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.up.set()


async def test_the_forwarder_outlives_an_outbox_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "WRITE_RETRY_S", 0.001)
    served = asyncio.Event()

    class Outbox:
        failures = 2 * forwarder.LANES

        def waiting_after(self, _: int, __: int) -> list[tuple[int, str]]:
            self.failures -= 1
            if self.failures >= 0:
                raise apsw.IOError("disk I/O error")
            return [(1, "sla-ticket-acme-T")]

        def next_of(self, _: str) -> Waiting | None:
            served.set()
            return None

    outbox: Any = Outbox()
    nobody: Any = None
    link: Any = Up()
    running = asyncio.create_task(Forwarder(nobody, nobody, outbox, Lanes(outbox), link, nobody).run())
    await asyncio.wait_for(served.wait(), 60)
    running.cancel()


@pytest.mark.parametrize(
    "second", [TemporalFault(Concern.LINK, REFUSED), LookupError("tenant 3 is not stored")], ids=type
)
async def test_a_message_is_tried_again_whatever_went_wrong(
    monkeypatch: pytest.MonkeyPatch, second: Exception
) -> None:
    """Its workflow is gone; and while that is looked into something else goes wrong."""
    monkeypatch.setattr(forwarder, "RETRIES", Backoff(0.001, 0.001))
    taken = asyncio.Event()
    errors = [second]

    class Outbox:
        def waiting_after(self, _: int, __: int) -> list[tuple[int, str]]:
            return [(1, "w")]

        def next_of(self, _: str) -> Waiting | None:
            return None if taken.is_set() else Waiting(1, "w", 1, 0, Message(FactKind.PAUSE, 1, 10, 1))

        def parked_of(self, _: str) -> None: ...

    class Link(Up):
        def lost(self, _: TemporalFault) -> None: ...

    class Sender:
        async def send(self, *_: Any) -> None:
            raise TemporalFault(Concern.WORKFLOW_GONE, REFUSED)

    class Mender:
        async def mend(self, _: str, __: int) -> bool:
            if errors:
                raise errors.pop()
            return False

    class Engine:
        async def write(self, _: Any) -> None:
            taken.set()

    outbox: Any = Outbox()
    link: Any = Link()
    link.sender = Sender()
    parts: list[Any] = [Engine(), None, outbox, Lanes(outbox), link, Mender()]
    serving = Forwarder(*parts)
    monkeypatch.setattr(serving, "_addressee", lambda _: None)
    running = asyncio.create_task(serving.run())
    await asyncio.wait_for(taken.wait(), 60)
    running.cancel()


async def test_a_damaged_message_keeps_no_other_workflow_from_being_looked_at() -> None:
    rows = [TemporalTicketRow(key, f"w-{key}", 0, 0) for key in range(2 * examiner.AT_ONCE)]
    mended: list[str] = []

    class Tickets:
        def to_check(self, *_: int) -> list[TemporalTicketRow]:
            return rows

        def parked_of(self, _: str) -> None:
            return None

        def next_of(self, name: str) -> Waiting | None:
            if name == "w-0":
                raise Unreadable("temporal_outbox", 1, "message 1", "its checksum differs")
            return None

    class Engine:
        async def write(self, _: Any) -> None: ...

    class Mender:
        async def mend(self, name: str, _: int) -> bool:
            mended.append(name)
            return True

    parts: list[Any] = [Engine(), Tickets(), Up(), Mender()]
    await Examiner(*parts, VirtualClock(0)).look()
    assert mended == [row.workflow_id for row in rows[1:]]


async def test_what_ends_by_an_error_that_nobody_foresaw_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(control, "RESTART_S", 0.0)
    runs, again = 0, asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise KeyError("nobody knows why")
        again.set()
        await asyncio.Event().wait()

    going = asyncio.create_task(control._kept_going(run))
    await asyncio.wait_for(again.wait(), 60)
    assert "nobody knows why" in caplog.text
    going.cancel()
