"""Everything that slad tells, held against all journals."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import grpc
from slad_client.v1 import admin_pb2, admin_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.caller import Caller, RefusedError
from tests.trials.crash.faults import Fault, FaultError, FaultKind, Faults
from tests.trials.crash.journal import TicketJournal
from tests.trials.crash.log import EventLog, Reading, content_of
from tests.trials.crash.replay import Played, TimerEvent, play
from tests.trials.crash.statuses import compare
from tests.trials.crash.watchers import Consumer

PATIENCE_S = 120.0
"""How long what is due may take to arrive, and what is told to agree, on a machine that is busy."""

Statuses = dict[tuple[str, int], pb.SlaStatus]
"""By ticket and generation."""


async def statuses_of(caller: Caller) -> Statuses:
    """All trackings, page by page."""
    found: Statuses = {}
    request = rpc.ListSlaTrackingsRequest(page_size=1000)
    while True:
        page = await caller.ask(request)
        found |= {(status.ticket_id, status.generation): status for status in page.trackings}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def catch_up(caller: Caller, log: EventLog) -> None:
    """Waits until the observer has heard of everything. Raises FaultError."""
    seen = log.last  # by now: what comes while the head is asked for may be beyond it
    head, deadline = await caller.head(), time.monotonic() + PATIENCE_S
    if head < seen:
        raise FaultError(FaultKind.LOST, "events", f"the newest is {head}, but {seen} was seen")
    while log.last < head and not log.broken:
        if time.monotonic() > deadline:
            raise FaultError(
                FaultKind.LOST, "events", f"the newest is {head}; a watch brings {log.last} only"
            )
        await asyncio.sleep(0.02)


async def catch_up_all(consumers: Iterable[Consumer], log: EventLog) -> None:
    """Waits until every durable consumer that is there has been brought everything. Raises FaultError."""
    deadline = time.monotonic() + PATIENCE_S
    while behind := [consumer.name for consumer in consumers if consumer.is_behind(log)]:
        if log.broken:
            return
        if time.monotonic() > deadline:
            raise FaultError(FaultKind.MISSING, ", ".join(behind), f"not brought all up to {log.last}")
        await asyncio.sleep(0.02)


async def read_again(caller: Caller, log: EventLog) -> int:
    """Watches from the beginning: every event, identical. The number of events. Raises FaultError."""
    head, reading, count = await caller.head(), Reading(log, 0), 0
    async for events in caller.watch(rpc.WatchSlaEventsRequest(after_sequence=0)):
        for event in events:
            reading.take(event)
            count += 1
        if events[-1].sequence >= head:
            break
    return count


class Exam:
    """One examination of all tickets, while the load holds still."""

    def __init__(self, log: EventLog, due_by: int) -> None:
        self._log = log
        self._due_by = due_by
        self.played: list[Played] = []
        self.failed: set[str] = set()
        """Tickets with a fault."""

    async def take(self, caller: Caller, journals: list[TicketJournal], faults: Faults) -> None:
        """Finds faults. What may merely be late is looked at again."""
        statuses = await statuses_of(caller)
        await catch_up(caller, self._log)
        open_journals, deadline = journals, 0.0
        while True:
            failed = [(j, fault) for j in open_journals if (fault := self._examine(j, statuses))]
            # The first look is at all of them, which may take long; what it doubts has its time from then on.
            deadline = deadline or time.monotonic() + PATIENCE_S
            if not failed or self._log.broken or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
            open_journals = [journal for journal, _ in failed]
            for journal in open_journals:
                statuses |= await _statuses_again(caller, journal)
            await catch_up(caller, self._log)
        faults.extend(fault for _, fault in failed)
        self.failed = {journal.name for journal, _ in failed}

    def _examine(self, journal: TicketJournal, statuses: Statuses) -> Fault | None:
        try:
            events = self._log.events_of(journal.name)
            self.played.append(examine(journal, events, statuses, self._due_by))
        except FaultError as error:
            return error.fault
        return None


def examine(journal: TicketJournal, events: Iterable[pb.SlaEvent], statuses: Statuses, due_by: int) -> Played:
    """Holds one ticket's events and statuses against its journal. Raises FaultError."""
    played = play(journal, events)
    played.require_due(due_by)
    for generation in played.ticket.generations:
        status = statuses.get((journal.name, generation.number))
        if status is None:
            raise FaultError(FaultKind.LOST, journal.name, f"generation {generation.number} is not listed")
        compare(status, played.ticket, generation, played.firings[generation.number])
    return played


def check_strangers(statuses: Statuses, log: EventLog, names: set[str], faults: Faults) -> None:
    """Nothing may be there that nobody has asked for."""
    for name in {name for name, _ in statuses} | set(log.by_ticket):
        if name not in names:
            faults.add(FaultKind.UNEXPLAINED, name, "no journal knows this ticket")


def check_order(played: Iterable[Played], faults: Faults) -> None:
    """Timers fire in the order of their instants over all tickets, overdue ones after a restart too (C5)."""
    timers = sorted(timer for one in played for timer in one.timers)
    last = TimerEvent(0, 0)
    for timer in timers:
        if timer.scheduled_at < last.scheduled_at:
            faults.add(FaultKind.DISORDER, f"sequence {timer.sequence}", f"{timer} fired after {last}")
        last = timer


async def check_timelines(
    caller: Caller, log: EventLog, journals: Iterable[TicketJournal], faults: Faults
) -> None:
    """A ticket's timelines hold the events that watchers saw."""
    for journal in journals:
        told = []
        for generation in journal.ticket.generations:
            request = rpc.GetSlaTimelineRequest(
                tenant_id=journal.ticket.tenant_id, ticket_id=journal.name, generation=generation.number
            )
            try:
                told += [content_of(event) for event in (await caller.ask(request)).events]
            except RefusedError as refused:
                faults.add(FaultKind.LOST, journal.name, str(refused))
        seen = [log.contents[sequence] for sequence in log.by_ticket.get(journal.name, ())]
        if told[: len(seen)] != seen:
            faults.add(FaultKind.CHANGED, journal.name, "its timelines are not what watchers saw")


async def check_consumers(address: str, confirmed: dict[str, int], faults: Faults) -> None:
    """What slad says of its consumers: no acknowledgement is forgotten."""
    async with grpc.aio.insecure_channel(address) as channel:
        reply = await admin_pb2_grpc.SlaAdminStub(channel).ListSlaConsumers(
            admin_pb2.ListSlaConsumersRequest()
        )
    known = {consumer.consumer: consumer.acknowledged_sequence for consumer in reply.consumers}
    for name, sequence in confirmed.items():
        if known.get(name, 0) < sequence:
            faults.add(FaultKind.REGRESSED, name, f"{sequence} was acknowledged, slad says {known.get(name)}")


def check_file(database: Path, faults: Faults) -> None:
    """The database file, a copy with its WAL, by SQLite's own measure."""
    connection = sqlite3.connect(database)
    try:
        complaints = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        complaints = [str(error)]
    finally:
        connection.close()
    if complaints != ["ok"]:
        faults.add(FaultKind.DAMAGED, database.name, "; ".join(complaints[:5]))


async def _statuses_again(caller: Caller, journal: TicketJournal) -> Statuses:
    found: Statuses = {}
    for generation in journal.ticket.generations:
        request = rpc.GetSlaStatusRequest(
            tenant_id=journal.ticket.tenant_id, ticket_id=journal.name, generation=generation.number
        )
        # One that slad does not know any more is missed by whoever compares.
        with suppress(RefusedError):
            found[journal.name, generation.number] = (await caller.ask(request)).status
    return found
