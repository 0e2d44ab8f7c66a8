"""Why a cycle was missed, and whether it is to count (A3)."""

from __future__ import annotations

import msgspec

from slad.core import machine
from slad.core.errors import Refusal, Refused
from slad.core.ledger import Verdict, annotated
from slad.core.settle import Transition
from slad.core.tracking import Annotation
from slad.engine.commands import Annotate
from slad.engine.outcome import Outcome, answer_of, write_of
from slad.engine.tickets import clock_not_found
from slad.engine.unit_of_work import UnitOfWork


def annotate(work: UnitOfWork, command: Annotate) -> Outcome:
    """Says why a cycle was missed. Raises Refused when there is none, or a later generation has it."""
    record = work.tickets.generation(command.tenant_id, command.ticket_id, command.generation)
    reading = machine.reading_at(record.tracking, work.catalog.calendar, work.now)
    cycles = reading.cycles(command.clock)
    if not cycles and not any(clock.name == command.clock for clock in record.tracking.terms.clocks):
        raise clock_not_found(record.ticket_id, command.clock)
    cycle = next((c for c in reversed(cycles) if command.cycle in (None, c.number)), None)
    if cycle is None:
        number = "" if command.cycle is None else f" {command.cycle}"
        text = f"clock {command.clock!r} of ticket {record.ticket_id!r} has no cycle{number}"
        field = "clock" if command.cycle is None else "cycle"
        raise Refused(Refusal.NOT_FOUND, "CYCLE_NOT_FOUND", text, field=field)
    last = work.ledger.known(record.tracking_key).get((cycle.name, cycle.key[1]))
    if cycle.closed_at is not None and last is not None and last.entry.verdict is Verdict.VOID:
        text = f"generation {record.generation} has been taken over by a later one; annotate that"
        raise Refused(Refusal.FAILED_PRECONDITION, "GENERATION_TAKEN_OVER", text)
    annotation = Annotation(*cycle.key, command.reason_code, command.note, command.excused)
    tracking = annotated(record.tracking, annotation)
    transition = Transition(tracking, reading, (), changed=tracking is not record.tracking)
    write = write_of(work.catalog.tenant_id(record.tenant_key), record, transition)
    write = msgspec.structs.replace(write, changes_clocks=False)
    told = f"{cycle.name}, cycle {cycle.number}: {command.reason_code or 'no reason'}"
    note = f"{told}, {'excused' if command.excused else 'not excused'}"
    return Outcome(answer_of(write), (write,) if transition.changed else (), note)
