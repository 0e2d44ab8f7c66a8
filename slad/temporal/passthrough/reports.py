"""What a worker outside the daemon reports, judged by the facts.

Contract
  - The facts decide, not the worker: a report is only the occasion to look. So a report that comes again, or
    late, or from a workflow that should not be there any more, does no harm.
  - What fires goes through the state machine and the ordinary write path, so that status, events and their
    ids are those of the local engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from slad.core import machine
from slad.core.facts import MAX_AHEAD_MS
from slad.core.reading import ClockReading, Reading
from slad.core.tracking import TicketRef
from slad.engine.unit_of_work import UnitOfWork, Write
from slad.storage.row_reader import Record


class Report(NamedTuple):
    """A threshold that a worker reports as reached."""

    clock: str
    """The name of its clock."""
    opened_at: int
    """When its cycle opened, UTC epoch ms (K4); of no account for a clock that has one cycle."""
    percent: int


class ReportOutcome(IntEnum):
    """What became of a report. The numbers are those of the wire contract."""

    TAKEN = 1
    KNOWN = 2
    NOT_TRUE = 3
    EARLY = 4


def take_reports(
    work: UnitOfWork, tenant_id: str, ticket_id: str, generation: int, reports: Sequence[Report]
) -> list[ReportOutcome]:
    """Fires what is reported and true; the outcome of each report, in their order.

    `generation` 0 is the latest; an empty `tenant_id` is looked for (M7). Raises Refused (NOT_FOUND).
    """
    tenant_id, record = work.tickets.locate(tenant_id, ticket_id)
    if generation not in (0, record.generation):
        return [ReportOutcome.NOT_TRUE] * len(reports)
    outcomes: dict[int, ReportOutcome] = {}
    due: list[tuple[int, int]] = []
    reading = machine.reading_at(record.tracking, work.catalog.calendar, work.now)
    for place, report in enumerate(reports):
        cycle = _cycle_of(report, reading)
        marks = cycle.marks if cycle else ()
        instant = next((m.instant for m in marks if m.spec.percent == report.percent), None)
        if cycle and _announced(record, cycle, report.percent):
            outcomes[place] = ReportOutcome.KNOWN
        elif cycle is None or instant is None or not _may_come(cycle.halted_at, instant):
            outcomes[place] = ReportOutcome.NOT_TRUE
        elif instant > work.now + MAX_AHEAD_MS:
            outcomes[place] = ReportOutcome.EARLY
        else:
            due.append((instant, place))
    now = work.now
    for instant, place in sorted(due):
        # The worker's clock may be a little ahead, as a caller's may (M6).
        work.now = max(now, instant)
        _fire(work, tenant_id, record.tracking_key, instant)
        outcomes[place] = ReportOutcome.TAKEN
    work.now = now
    return [outcomes[place] for place in range(len(reports))]


def _may_come(halted_at: int | None, instant: int) -> bool:
    return halted_at is None or instant <= halted_at


def _cycle_of(report: Report, reading: Reading) -> ClockReading | None:
    for cycle in reading.cycles(report.clock):
        if cycle.terms.has_one_cycle or cycle.opened_at == report.opened_at:
            return cycle
    return None


def _announced(record: Record, cycle: ClockReading, percent: int) -> bool:
    fired = record.tracking.fired_of(cycle.key).get(percent)
    return fired is not None and fired.fired_at != 0


def _fire(work: UnitOfWork, tenant_id: str, tracking_key: int, until: int) -> None:
    record = work.tickets.by_key(tracking_key)
    assert record is not None
    transition = machine.fire(record.tracking, work.catalog.calendar, work.now, until=until)
    ticket = TicketRef(tenant_id, record.ticket_id, record.generation)
    work.put(Write(ticket, tracking_key, transition))
