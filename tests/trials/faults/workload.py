"""What slad does on the disk: three lives of a daemon without its wire, by a script, under the virtual clock.

The script is the same each time, so that after every commit the state is one of a known row of states. Who
tells it behaves as a good client does: what is refused for the disk's sake is sent again, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from slad.config.settings import RetentionSettings
from slad.core.errors import Refused
from slad.core.events import PauseReason
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS
from slad.core.machine import ReopenMode
from slad.core.schedule import build_schedule
from slad.delivery.consumers import Consumers
from slad.delivery.hub import EventHub
from slad.delivery.retention import Retention
from slad.engine import engine as engine_module
from slad.engine import turn as turn_module
from slad.engine.carrier import LocalCarrier
from slad.engine.catalog import Catalog
from slad.engine.commands import (
    Answer,
    Cancel,
    Command,
    Complete,
    OnExisting,
    Pause,
    Reopen,
    RequestIdentity,
    Resume,
    Retarget,
    ScheduleOffer,
    Start,
    TermsOffer,
)
from slad.engine.engine import SlaEngine
from slad.engine.listeners import Listeners
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import VirtualClock
from slad.storage import database
from slad.storage.checkpoint import Checkpointer
from slad.storage.codec import encode_schedule
from slad.storage.journal import CannotWrite, Journal
from slad.storage.lock import DatabaseError
from slad.storage.rows import Batch
from slad.storage.store import Store
from tests.core.tickets import OFFICE, at
from tests.trials.faults import faulty_vfs
from tests.trials.faults.faulty_vfs import FaultyDisk, Milestone
from tests.trials.faults.states import State, opened, read_state, timeless_event

T = TypeVar("T")

MONDAY_9 = at("2026-03-02T09:00:00Z")

CACHE_KIB = 32
"""So little that pages have to be read again, and written before the commit."""

TRIES = 3
"""So often something fails before a lasting fault is repaired."""

RETENTION = RetentionSettings(events_ms=3 * HOUR_MS, max_events=60, requests_ms=2 * HOUR_MS)

NIGHT = build_schedule(
    timezone="Europe/Berlin",
    is_24x7=False,
    entries=[(day, "20:00", "06:00", True) for day in range(7)],
    holidays=[("2026-12-24", True, "Christmas Eve")],
)

DISK_REASONS = ("DISK_FULL", "CANNOT_WRITE")


@dataclass
class Diary:
    """What was seen of slad in one run of the script."""

    disk: FaultyDisk
    keeps_states: bool = False
    commits: int = 0
    """How many have returned."""
    states: list[State] = field(default_factory=list)
    """After each commit, if they are kept; the first one is that of the empty database."""
    failures: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    failed_starts: int = 0
    delivered: dict[int, bytes] = field(default_factory=dict)
    """Events by sequence, as consumers have received them."""
    now: int = MONDAY_9

    def has_failed(self) -> None:
        """Something was not done for the disk's sake."""
        self.failures += 1
        if self.failures >= TRIES:
            self.disk.repair()

    def was_refused(self, reason: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        self.has_failed()

    def receives(self, sequence: int, body: bytes) -> None:
        """An event that was delivered once is delivered as the same ever after."""
        assert self.delivered.setdefault(sequence, body) == body, f"event {sequence} is another one now"


class _WatchedJournal(Journal):
    def __init__(self, connection: apsw.Connection, checkpointer: Checkpointer, diary: Diary) -> None:
        super().__init__(connection, checkpointer)
        self._writer = connection
        self._diary = diary

    def commit(self, batch: Batch) -> None:
        try:
            super().commit(batch)
        except CannotWrite:
            self._diary.has_failed()
            raise
        if batch.trials:
            return
        self._diary.commits += 1
        self._diary.disk.log.append(Milestone(self._diary.commits))
        if self._diary.keeps_states:
            self._diary.states.append(read_state(self._writer))


class Life:
    """One run of the daemon's floors below the service, put together as the daemon does."""

    def __init__(self, data: Path, diary: Diary) -> None:
        self.diary = diary
        self._closing: list[Callable[[], None]] = []
        try:
            self._open(data)
        except BaseException:
            self._close()
            raise

    def _open(self, data: Path) -> None:
        directory = opened(data)
        self._closing.append(directory.close)
        writer = directory.writer()
        self._closing.append(writer.close)
        # Not on a thread, so that the calls of every run come in the same order.
        checkpointer = Checkpointer(
            writer,
            directory.checkpointer(),
            wal_pages=faulty_vfs.CHECKPOINT_PAGES,
            beside=lambda copy: copy(),
        )
        self.journal = _WatchedJournal(writer, checkpointer, self.diary)
        self._closing.append(self.journal.close)
        store = Store(directory.reader())
        self._closing.append(store.close)
        slow_queries = QueryThread(Store(directory.reader()))
        self._closing.append(slow_queries.close)
        self.clock = VirtualClock(self.diary.now)
        names = Catalog(store)
        self.hub = EventHub(self.journal.counters().sequence, slow_queries.events_after)
        listeners = Listeners(self.hub.publish)
        self.engine = SlaEngine(self.journal, names, self.clock, LocalCarrier(), listeners)
        self.consumers = Consumers(store.consumers(), self.engine, self.hub, self.clock)
        self.queries = Queries(store, names)
        self.retention = Retention(RETENTION, self.engine, slow_queries, self.consumers, self.clock)
        if self.diary.keeps_states and not self.diary.states:
            self.diary.states.append(read_state(writer))
        self.engine.prepare()
        self._pump = asyncio.create_task(self.engine.run())

    async def end(self) -> None:
        self.engine.stop()
        await self._pump
        self.diary.now = self.clock.now()
        self._close()

    def _close(self) -> None:
        # What goes wrong in closing a connection stays inside SQLite; of a shim's errors apsw tells.
        while self._closing:
            with suppress(apsw.Error):
                self._closing.pop()()


class Client:
    """Tells slad the script's commands, again and again until each is carried out."""

    def __init__(self, data: Path, diary: Diary) -> None:
        self._data = data
        self._diary = diary
        self._requests = 0
        self.life: Life

    async def begin(self) -> None:
        """Starts slad, as its supervisor would: once more when it could not start."""
        while True:
            try:
                self.life = Life(self._data, self._diary)
            except (DatabaseError, apsw.Error):
                self._diary.failed_starts += 1
                self._diary.has_failed()
            else:
                return

    async def restart(self) -> None:
        await self.life.end()
        await self.begin()

    async def tell(self, kind: type[Command], ticket: str, tenant: str = "acme", **fields: Any) -> bytes:
        self._requests += 1
        request = RequestIdentity(tenant, f"r-{self._requests}", ticket.encode())
        command = kind(tenant_id=tenant, ticket_id=ticket, request=request, **fields)
        return await self._insist(lambda: self.life.engine.submit(command, _render))

    async def advance(self, **span: float) -> None:
        passed = (
            span.get("minutes", 0) * MINUTE_MS + span.get("hours", 0) * HOUR_MS + span.get("days", 0) * DAY_MS
        )
        await self.life.engine.advance(self.life.clock.now() + int(passed))

    async def sweep(self) -> None:
        await self._insist(self.life.retention.sweep)

    async def read_events(self, consumer: str) -> None:
        """Lets a consumer receive all there is, and acknowledge it."""
        await self._insist(lambda: self._read_events(consumer))

    async def _read_events(self, consumer: str) -> None:
        head, last = self.life.hub.head, 0
        async with aclosing(self.life.consumers.stream(consumer, 0, lambda event: True)) as pages:
            async for page in pages:
                for event in page:
                    self._diary.receives(event.sequence, timeless_event(event.body))
                    last = event.sequence
                if last >= head:
                    break
        await self.life.consumers.acknowledge(consumer, last)

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await attempt()
            except Refused as refused:
                if refused.reason not in DISK_REASONS:
                    raise
                self._diary.was_refused(refused.reason)
                self._check_queries()
            except apsw.Error:
                self._diary.was_refused("CANNOT_READ")

    def _check_queries(self) -> None:
        """While commands are refused, queries are answered."""
        fault = self._diary.disk.fault
        if fault is not None and fault.lasting:
            self.life.queries.page(None, frozenset(), frozenset(), None, 0, 1000, self.life.clock.now())


def _render(answer: Answer) -> bytes:
    return (
        f"{answer.ticket.ticket_id} {answer.ticket.generation} {answer.state.name} {answer.changed}".encode()
    )


def promise(response: int = 60, resolution: int = 240, hours: Any = None) -> TermsOffer:
    schedule = None if hours is None else ScheduleOffer(hours, *encode_schedule(hours))
    return TermsOffer(
        "", response * MINUTE_MS, resolution * MINUTE_MS, (50, 75), (90, 110, 0), schedule, "targets[0]"
    )


async def _tell_the_script(client: Client) -> None:
    tell = client.tell
    await client.begin()
    await tell(Start, "A", policy_id="gold", terms=promise(hours=OFFICE))
    await asyncio.gather(
        tell(Start, "B", policy_id="gold", terms=promise()),
        tell(Start, "C", policy_id="night", terms=promise(hours=NIGHT)),
        tell(Start, "D", "globex", policy_id="gold", terms=promise(), attributes={"note": "x" * 900}),
    )
    await client.read_events("psa")
    await tell(Pause, "A", reason=PauseReason.AWAITING_CLIENT)
    await client.advance(minutes=50)
    await asyncio.gather(
        tell(Resume, "A"),
        tell(Complete, "B", clock="response", reported_met=True),
        tell(Retarget, "D", "globex", policy_id="silver", terms=promise(30, 100)),
    )
    await client.advance(hours=2)
    await client.read_events("psa")
    await asyncio.gather(
        *(
            tell(
                Start, f"E-{n}", policy_id="gold", terms=promise(20 + n, 90 + n), attributes={"n": "y" * 1000}
            )
            for n in range(12)
        )
    )
    await client.advance(minutes=30)
    await client.restart()

    await tell(Cancel, "C")
    await client.advance(hours=1)
    await asyncio.gather(*(tell(Complete, f"E-{n}", clock="resolution") for n in range(0, 12, 2)))
    await client.read_events("psa")
    await client.sweep()
    await tell(
        Start,
        "C",
        policy_id="gold",
        terms=promise(),
        on_existing=OnExisting.CONTINUE_CANCELLED,
        suppress_past=True,
    )
    await tell(Start, "B", policy_id="gold", terms=promise(10, 20), on_existing=OnExisting.REPLACE)
    await tell(Reopen, "E-0", mode=ReopenMode.RESTART)
    await client.advance(hours=5)
    await client.read_events("audit")
    await client.sweep()
    await client.restart()

    await asyncio.gather(*(tell(Cancel, f"E-{n}") for n in range(1, 12, 2)))
    await client.advance(days=1)
    await client.read_events("psa")
    await client.sweep()
    await client.life.end()


PATIENCE_S = 120.0
"""A script that takes longer waits for an answer that never comes."""


def run_script(data: Path, diary: Diary) -> None:
    """Runs the script to its end on the diary's disk. Raises TimeoutError when it hangs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "RETRY_S", 0)
        # What is in one turn must not depend on the machine.
        patch.setattr(turn_module, "TURN_NS", 10**12)
        patch.setattr(database, "CACHE_KIB", CACHE_KIB)
        asyncio.run(asyncio.wait_for(_tell_the_script(Client(data, diary)), PATIENCE_S))
