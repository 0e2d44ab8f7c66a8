"""Looks after tickets without a report, a grace after a threshold.

What is due by the facts is fired then, whatever has become of the report: no event waits for a worker. And
their workflow is looked at: is it still there? The cost follows the number of such tickets, not that of all.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

import msgspec

from slad.core import machine
from slad.core.errors import Refused
from slad.core.instants import SECOND_MS
from slad.core.settle import next_wake
from slad.core.tracking import TicketRef
from slad.engine.engine import SlaEngine
from slad.engine.time_source import TimeSource
from slad.engine.unit_of_work import UnitOfWork, Write
from slad.storage.codec import Message
from slad.storage.database import StorageError
from slad.storage.row_reader import Record
from slad.storage.rows import TemporalTicketRow
from slad.storage.temporal_store import TemporalStore
from slad.storage.unreadable import Unreadable
from slad.temporal.faults import Concern, TemporalFault
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.mender import Mender
from slad.temporal.passthrough.messages import UPDATE
from slad.temporal.passthrough.repair import is_wanted
from slad.temporal.passthrough.temporal_carrier import temporal_turn

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
"""The longest pause between two rounds: commits in between may bring looks that are due sooner."""

PAUSE_S: Final = 0.02
"""The shortest pause between two rounds."""

PAGE: Final = 1_024
"""Tickets that are looked at in one round."""

IN_A_TURN: Final = 64
"""Tickets that fire in one transaction."""

AT_ONCE: Final = 16
"""Workflows that are looked at at the same time."""

TIME_ZONES_CHANGED: Final = 0
"""As `check_at`: derive the instants of the ticket again (see `slad.storage.database`)."""


class Examiner:
    """Looks, fires what is due, and has mended what is gone. For the event loop's thread."""

    def __init__(
        self, engine: SlaEngine, tickets: TemporalStore, link: Link, mender: Mender, clock: TimeSource
    ) -> None:
        self._engine = engine
        self._tickets = tickets
        self._link = link
        self._mender = mender
        self._clock = clock

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            pause_s = LOOK_EVERY_S
            try:
                await self.look()
                check_at = self._tickets.earliest_check()
                if check_at is not None:
                    pause_s = min(max((check_at - self._clock.now()) / SECOND_MS, PAUSE_S), LOOK_EVERY_S)
            except (Refused, StorageError) as error:
                log.warning("overdue tickets cannot be examined yet: %s", error)
            await asyncio.sleep(pause_s)

    async def look(self) -> None:
        """One round over the tickets at which it is time to look. Raises Refused, StorageError."""
        rows = self._tickets.to_check(self._clock.now(), PAGE)
        if not rows:
            return
        for begin in range(0, len(rows), IN_A_TURN):
            await self._engine.write(partial(_look_at, rows[begin : begin + IN_A_TURN]))
        for begin in range(0, len(rows), AT_ONCE):
            if self._link.up.is_set():
                await asyncio.gather(*map(self._look_at_workflow, rows[begin : begin + AT_ONCE]))

    async def _look_at_workflow(self, row: TemporalTicketRow) -> None:
        try:
            if self._tickets.parked_of(row.workflow_id) or self._tickets.next_of(row.workflow_id) is not None:
                return  # it does not know everything yet
            await self._mender.mend(row.workflow_id, row.tracking_key)
        except TemporalFault as fault:
            if fault.concern is Concern.LINK:
                self._link.lost(fault)
        except Unreadable:
            pass  # noted where it was read; others are looked at all the same


def _look_at(rows: list[TemporalTicketRow], work: UnitOfWork) -> None:
    # In the order of their instants, over all tickets (C5).
    for row in sorted(rows, key=lambda row: row.wake_at or 0):
        temporal_turn(work).looked_at(row, work.now)
        try:
            _look_at_ticket(work, row)
        except StorageError:
            raise
        except Exception:
            # One ticket that cannot be read must not stop the clocks of all others.
            log.exception("tracking %d cannot fire", row.tracking_key)


def _look_at_ticket(work: UnitOfWork, row: TemporalTicketRow) -> None:
    record = work.tickets.by_key(row.tracking_key)
    if record is None or not is_wanted(record):
        temporal_turn(work).leave(row.tracking_key)
        return
    _fire(work, record)
    if row.check_at == TIME_ZONES_CHANGED:
        _tell_anew(work, row, record)


def _fire(work: UnitOfWork, record: Record) -> None:
    transition = machine.fire(record.tracking, work.catalog.calendar, work.now)
    if transition.events:
        ticket = TicketRef(work.catalog.tenant_id(record.tenant_key), record.ticket_id, record.generation)
        work.put(Write(ticket, record.tracking_key, transition))


def _tell_anew(work: UnitOfWork, row: TemporalTicketRow, record: Record) -> None:
    """With other time zones the instants have moved, and the workflow sleeps until the former one."""
    reading = machine.reading_at(record.tracking, work.catalog.calendar, work.now)
    turn = temporal_turn(work)
    wake_at = next_wake(record.tracking, reading)
    turn.expect(msgspec.structs.replace(record, wake_at=wake_at), work.catalog.tenant_id(record.tenant_key))
    message = Message(UPDATE, record.generation, tracking=record.tracking)
    turn.send(row.workflow_id, row.tracking_key, message, work.now)
