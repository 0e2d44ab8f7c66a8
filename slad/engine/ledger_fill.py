"""Fills the ledger for trackings from before it (A1): in the background, from the newest down.

After a restart of slad it continues where it was. `recorded_at` of its rows is the closing.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Final

from slad.core import machine
from slad.core.errors import Refused
from slad.core.facts import FactKind
from slad.core.ledger import EVER, closed_entries
from slad.core.tracking import Tracking
from slad.engine.engine import SlaEngine
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.row_reader import Record
from slad.storage.store import Store
from slad.storage.unreadable import Unreadable

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Trackings in one turn of the engine: some 3 ms, for which timers and commands wait."""

PAUSE_S: Final = 0.005
TELL_EVERY_S: Final = 10.0
RETRY_S: Final = 5.0


async def fill_ledger(engine: SlaEngine, store: Store, keep_ms: int) -> None:
    """Fills in what is missing, and returns. Rows that would be older than `keep_ms` are left out."""
    top = int(store.meta("ledger_unfilled") or 0)
    if not top:
        return
    log.info("the ledger is being filled for older trackings; at most %d to look at", top)
    told_at = monotonic()
    while top:
        try:
            top = await engine.write(lambda work, top=top: _fill(work, top, keep_ms))  # type: ignore[misc]
        except Refused:
            await asyncio.sleep(RETRY_S)
        await asyncio.sleep(PAUSE_S)
        if monotonic() - told_at >= TELL_EVERY_S:
            told_at = monotonic()
            log.info("the ledger is being filled; at most %d trackings to look at", top)
    log.info("the ledger is filled")


def _fill(work: UnitOfWork, top: int, keep_ms: int) -> int:
    """Fills in the next trackings from key `top` down; where to go on, 0: nowhere."""
    keys = work.stored.ledger().keys_down_from(top, AT_ONCE)
    work.tickets.foresee_keys(keys)
    for key in keys:
        try:
            record = work.tickets.by_key(key)
            if record is not None and not _is_taken_over(work, record):
                _take_in(work, record, keep_ms)
        except Unreadable:
            continue  # noted where it was read
    rest = keys[-1] - 1 if len(keys) == AT_ONCE else 0
    work.rows.ledger_unfilled.append((rest,))
    return rest


def _take_in(work: UnitOfWork, record: Record, keep_ms: int) -> None:
    tracking = record.tracking
    if not tracking.facts:
        return
    reading = machine.reading_at(tracking, work.catalog.calendar, work.now)
    known = work.ledger.known(record.tracking_key)
    closed = [
        entry
        for entry in closed_entries(tracking, reading, work.catalog.calendar, work.now - keep_ms)
        if entry.key not in known
    ]
    work.ledger.take_in(record, closed, EVER)


def _is_taken_over(work: UnitOfWork, record: Record) -> bool:
    """Whether the next generation goes on with the cycles of this one: it has its start and its facts."""
    following = work.stored.generation(record.tenant_key, record.ticket_id, record.generation + 1)
    return following is not None and _goes_on_with(following.tracking, record.tracking)


def _goes_on_with(heir: Tracking, former: Tracking) -> bool:
    if heir.started_at != former.started_at:
        return False
    facts = list(heir.facts)
    for fact in former.facts:
        if fact in facts:
            facts.remove(fact)
        elif fact.kind != FactKind.CANCEL:
            return False
    return True
