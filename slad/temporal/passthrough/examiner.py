"""Looks after tickets whose threshold is overdue without a report.

Their workflow is asked: is it there, and what has it told? So a workflow that vanished is noticed, a report
that was lost is made up for, and what AlgaPSA's worker announces, which reports nothing to slad, becomes
events. The cost follows the number of overdue tickets, not that of all.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

from slad.core import machine
from slad.core.errors import InvalidField, Refused
from slad.core.events import Phase
from slad.core.instants import HOUR_MS, SECOND_MS
from slad.core.settle import next_wake
from slad.engine.catalog import Catalog
from slad.engine.engine import SlaEngine
from slad.engine.time_source import TimeSource
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.codec import Message
from slad.storage.database import StorageError
from slad.storage.row_reader import Record
from slad.storage.rows import ParkedRow, TemporalTicketRow
from slad.storage.store import Store
from slad.storage.temporal_store import TemporalStore
from slad.temporal.faults import GONE, Concern, Fault
from slad.temporal.passthrough.forwarder import Forwarder
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.messages import UPDATE
from slad.temporal.passthrough.repair import is_wanted
from slad.temporal.passthrough.reports import Report, take_reports
from slad.temporal.passthrough.temporal_carrier import temporal_turn
from slad.temporal.workflow.wire import TicketState

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
AT_ONCE: Final = 8
"""Workflows that are asked at the same time."""

PAGE: Final = 64
SILENCE_S: Final = 60.0
"""After a worker did not answer, a handover asks no more for so long: each page would wait for it."""

TIME_ZONES_CHANGED: Final = 0
"""As `check_at`: the instants of the ticket are to be derived anew (see `slad.storage.database`)."""

LAST_PAUSE_MS: Final = HOUR_MS
"""The longest pause between two looks at a ticket that stays overdue."""


class Examiner:
    """Looks, and lets the forwarder mend. All methods are for the event loop's thread."""

    def __init__(
        self,
        engine: SlaEngine,
        store: Store,
        tickets: TemporalStore,
        catalog: Catalog,
        link: Link,
        forwarder: Forwarder,
        clock: TimeSource,
        grace_ms: int,
    ) -> None:
        self._engine = engine
        self._store = store
        self._tickets = tickets
        self._catalog = catalog
        self._sender = link.sender
        self._link = link
        self._forwarder = forwarder
        self._clock = clock
        self._grace_ms = max(grace_ms, SECOND_MS)
        self._silent_until = 0.0
        self.unanswered = 0
        """Overdue tickets of which no worker could say, in the last round."""

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._link.up.wait()
            try:
                await self.look()
            except Fault as fault:
                if fault.concern is Concern.LINK:
                    self._link.lost(fault)
            except (Refused, StorageError) as error:
                log.warning("overdue tickets cannot be examined yet: %s", error)

    async def look(self) -> None:
        """One round over the tickets at which it is time to look. Raises Fault, Refused, StorageError."""
        rows = self._tickets.to_check(self._clock.now(), PAGE)
        self.unanswered = 0
        for begin in range(0, len(rows), AT_ONCE):
            await asyncio.gather(*map(self.examine, rows[begin : begin + AT_ONCE]))
            if self.unanswered:
                # No worker is there, and each question waits for it: one will do.
                await self._put_off(rows[begin + AT_ONCE :])
                log.warning("thresholds are overdue, and no worker answers on %s", self._queue)
                return

    async def examine(self, row: TemporalTicketRow) -> None:
        """Looks at one ticket. Raises Fault, Refused, StorageError."""
        record = self._store.by_key(row.tracking_key)
        if record is None or not is_wanted(record) or self._has_to_wait(row.workflow_id):
            await self._put_off([row])
        elif row.check_at == TIME_ZONES_CHANGED:
            await self._engine.write(partial(_tell_anew, row))
        elif not await self._sender.is_running(row.workflow_id):
            await self._mend(row)
        else:
            await self._ask(row, record)
            await self._put_off([row])

    async def catch_up(self, tracking_keys: list[int]) -> None:
        """Takes what the workflows of these tickets have announced, as far as they say.

        For a handover: what AlgaPSA's activities have told is not to be told again. Raises Refused.
        """
        now = asyncio.get_running_loop().time()
        if now < self._silent_until:
            return
        rows = [row for key in tracking_keys if (row := self._tickets.by_tracking(key)) is not None]
        self.unanswered = 0
        for begin in range(0, len(rows), AT_ONCE):
            await asyncio.gather(*map(self._catch_up, rows[begin : begin + AT_ONCE]))
            if self.unanswered:
                self._silent_until = now + SILENCE_S
                return

    async def _catch_up(self, row: TemporalTicketRow) -> None:
        record = self._store.by_key(row.tracking_key)
        if record is not None and is_wanted(record):
            await self._ask(row, record)

    async def _ask(self, row: TemporalTicketRow, record: Record) -> None:
        try:
            state = await self._sender.state(row.workflow_id)
        except (Fault, InvalidField):
            self.unanswered += 1
        else:
            await self._take(record, state)

    async def _take(self, record: Record, state: TicketState) -> None:
        told = state.notified_thresholds
        reports = [Report(Phase.RESPONSE, percent) for percent in told.response]
        reports += [Report(Phase.RESOLUTION, percent) for percent in told.resolution]
        tenant_id = self._catalog.tenant_id(record.tenant_key)
        await self._engine.write(
            lambda work: take_reports(work, tenant_id, record.ticket_id, record.generation, reports)
        )

    async def _mend(self, row: TemporalTicketRow) -> None:
        if self._forwarder.may_restart(row.workflow_id):
            await self._forwarder.restart(row.workflow_id, row.tracking_key)
        else:
            log.error("workflow %s has ended or vanished under a live ticket; it is parked", row.workflow_id)
            await self._engine.write(partial(_park, row))

    async def _put_off(self, rows: list[TemporalTicketRow]) -> None:
        if rows:
            await self._engine.write(partial(self._look_again, rows))

    def _look_again(self, rows: list[TemporalTicketRow], work: UnitOfWork) -> None:
        turn = temporal_turn(work)
        for row in rows:
            record = work.tickets.by_key(row.tracking_key)
            if record is None or not is_wanted(record):
                turn.leave(row.tracking_key)
                continue
            wake_at = self._wake_at(record)
            overdue = 0 if wake_at is None else work.now - wake_at
            # Later and later, as long as nothing changes.
            pause = min(max(overdue, self._grace_ms), LAST_PAUSE_MS)
            check_at = None if wake_at is None else max(wake_at, work.now) + pause
            turn.look_again(row._replace(wake_at=wake_at, check_at=check_at))

    def _wake_at(self, record: Record) -> int | None:
        reading = machine.reading_at(record.tracking, self._catalog.calendar, self._clock.now())
        return next_wake(record.tracking, reading)

    def _has_to_wait(self, name: str) -> bool:
        """Whether its workflow does not know everything yet."""
        return self._tickets.is_parked(name) or self._tickets.next_of(name) is not None

    @property
    def _queue(self) -> str:
        return self._sender.settings.task_queue


def _tell_anew(row: TemporalTicketRow, work: UnitOfWork) -> None:
    """With other time zones the instants have moved, and the workflow sleeps until the former one."""
    record = work.tickets.by_key(row.tracking_key)
    if record is None or not is_wanted(record):
        return
    tenant_id = work.catalog.tenant_id(record.tenant_key)
    reading = machine.reading_at(record.tracking, work.catalog.calendar, work.now)
    turn = temporal_turn(work)
    turn.expect(record._replace(wake_at=next_wake(record.tracking, reading)), tenant_id)
    message = Message(UPDATE, record.generation, tracking=record.tracking)
    turn.send(row.workflow_id, row.tracking_key, message, work.now)


def _park(row: TemporalTicketRow, work: UnitOfWork) -> None:
    temporal_turn(work).park(ParkedRow(row.workflow_id, row.tracking_key, work.now, GONE))
