"""What a command amounts to."""

from __future__ import annotations

import msgspec

from slad.core.settle import Transition
from slad.core.status import tracking_state
from slad.core.tracking import Engine, TicketRef
from slad.engine.commands import Answer
from slad.engine.unit_of_work import Write
from slad.storage.row_reader import Record


class Outcome(msgspec.Struct, frozen=True):
    """What a command amounts to: the answer, and the transitions to store."""

    answer: Answer
    writes: tuple[Write, ...]
    note: str = ""

    @property
    def concerns_carrier(self) -> bool:
        """Whether somebody else than slad carries a ticket that it changes."""
        return any(write.transition.tracking.engine != Engine.LOCAL for write in self.writes)


def outcome_of(tenant_id: str, record: Record, transition: Transition) -> Outcome:
    """What a transition of a stored tracking amounts to."""
    write = write_of(tenant_id, record, transition)
    # A repeated pause changes nothing that anyone sees, but is a fact that may yet matter (M6).
    silent = not transition.changed and transition.tracking is record.tracking
    return Outcome(answer_of(write), () if silent else (write,))


def write_of(tenant_id: str, record: Record, transition: Transition) -> Write:
    """A transition of a stored tracking, to be stored."""
    ticket = TicketRef(tenant_id, record.ticket_id, record.generation)
    return Write(ticket, record.tracking_key, transition, record)


def answer_of(write: Write) -> Answer:
    """How the ticket stands once that is stored."""
    transition = write.transition
    return Answer(
        write.ticket,
        tracking_state(transition.reading.history.life),
        transition.tracking,
        transition.reading,
        transition.changed,
    )
