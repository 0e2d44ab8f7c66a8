"""Starting a workflow again from what slad knows of its ticket, and moving tickets between the engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from slad.core import machine
from slad.core.errors import InvalidField
from slad.core.settle import Transition
from slad.core.status import TrackingState
from slad.core.tracking import Engine, TicketRef
from slad.engine.unit_of_work import UnitOfWork, Write
from slad.storage.codec import AuditEntry, Message
from slad.storage.row_reader import Record
from slad.temporal.passthrough.messages import LEAVE, start_message
from slad.temporal.passthrough.routing import check_carriable
from slad.temporal.passthrough.temporal_carrier import temporal_turn
from slad.temporal.workflow.names import workflow_id


def is_wanted(record: Record | None) -> bool:
    """Whether the tracking is one whose workflow should run."""
    return (
        record is not None
        and record.state is TrackingState.ACTIVE
        and record.tracking.engine == Engine.TEMPORAL
    )


def restart_workflow(work: UnitOfWork, *, name: str, tracking_key: int) -> None:
    """Has a workflow start again, with all that has happened, in place of what it was to be told.

    One that runs after all takes that over.
    """
    record = work.tickets.by_key(tracking_key)
    if record is None or not is_wanted(record):
        return
    turn = temporal_turn(work)
    turn.withdraw(name)
    turn.release(name)
    turn.send(name, tracking_key, start_message(record), work.now)


def tell_anew(name: str, work: UnitOfWork) -> bool:
    """Tells a workflow how its ticket stands, in place of what it was to be told; whether it is wanted."""
    key = temporal_turn(work).carried_by(name)
    if key is None or not is_wanted(work.tickets.by_key(key)):
        return False
    restart_workflow(work, name=name, tracking_key=key)
    return True


def release(names: Sequence[str], work: UnitOfWork) -> int:
    """Goes on with those of these workflows that are parked; how many there were.

    What one was parked for may be mended by other terms, so it is told how its ticket stands now.
    """
    turn = temporal_turn(work)
    released = 0
    for name in names:
        key = turn.parked_for(name)
        if key is None:
            continue
        released += 1
        record = work.tickets.by_key(key)
        if is_wanted(record):
            restart_workflow(work, name=name, tracking_key=key)
            continue
        turn.withdraw(name)
        turn.release(name)
        turn.send(name, key, Message(LEAVE, record.generation if record is not None else 0), work.now)
    return released


class Moved(NamedTuple):
    """What became of the tickets of a handover."""

    moved: int
    refused: list[tuple[str, str, InvalidField]]
    """(tenant_id, ticket_id, why) of those that Temporal cannot carry."""


def hand_over(work: UnitOfWork, tracking_keys: Sequence[int], to: Engine) -> Moved:
    """Gives live trackings to another engine, with all facts and firings; those that it has are left alone.

    From this commit on the one does not fire them any more and the other does. What falls due meanwhile fires
    late, not never; what the one has fired is known to the other (C5).
    """
    moved, refused = 0, []
    for key in tracking_keys:
        record = work.tickets.by_key(key)
        if record is None or record.state is not TrackingState.ACTIVE or record.tracking.engine == to:
            continue
        tenant_id = work.catalog.tenant_id(record.tenant_key)
        try:
            if to is Engine.TEMPORAL:
                turn = temporal_turn(work)
                check_carriable(tenant_id, record.ticket_id)
                terms = record.tracking.terms
                turn.check_terms(terms, work.catalog.schedule(terms.schedule_key))
                turn.claim(tenant_id, record.ticket_id, None)
        except InvalidField as error:
            refused.append((tenant_id, record.ticket_id, error))
            continue
        _move(work, tenant_id, record, to)
        moved += 1
    return Moved(moved, refused)


def _move(work: UnitOfWork, tenant_id: str, record: Record, to: Engine) -> None:
    key, name = record.tracking_key, workflow_id(tenant_id, record.ticket_id)
    tracking = msgspec.structs.replace(record.tracking, engine=to)
    reading = machine.reading_at(tracking, work.catalog.calendar, work.now)
    transition = Transition(tracking, reading, (), changed=True)
    write = Write(TicketRef(tenant_id, record.ticket_id, record.generation), key, transition)
    work.put(write, AuditEntry("HandOver", None, "", True, f"to {to.name}"))
    turn = temporal_turn(work)
    if to is Engine.TEMPORAL:
        message = start_message(msgspec.structs.replace(record, tracking=tracking))
    else:
        turn.leave(key)
        turn.withdraw(name)
        turn.release(name)
        message = Message(LEAVE, record.generation)
    turn.send(name, key, message, work.now)
