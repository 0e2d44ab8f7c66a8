"""What a change of a ticket that Temporal carries means for its workflow, written in the same transaction.

Contract
  - The command is journaled as for any ticket; its message for Temporal commits with it, so none is lost.
  - Messages of a ticket are in the order of its commands. They leave the outbox once Temporal has them.
  - A change that AlgaPSA's signals can say is told by them; every other one by UPDATE, which holds all state.
"""

from __future__ import annotations

from typing import Final

from slad.core.errors import InvalidField
from slad.core.facts import Fact
from slad.core.status import TrackingState
from slad.core.tracking import Tracking
from slad.storage.codec import Message, encode
from slad.storage.rows import Batch, OutboxRow, ParkedRow, TemporalTicketRow
from slad.storage.store import Record
from slad.temporal.passthrough.routing import Routing, workflow_id

START: Final = 16
"""The workflow is to be started."""

UPDATE: Final = 17
"""The workflow is to take over the state that comes with the message."""

LEAVE: Final = 18
"""The workflow is to end without a word: the ticket goes on elsewhere."""


class TemporalWork:
    """The part of a unit of work that is about Temporal."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._tickets: dict[int, TemporalTicketRow | None] = {}
        self._workflows: dict[str, int] = {}
        self._messages: list[OutboxRow] = []
        self._delivered: list[int] = []
        self._withdrawn: list[str] = []
        self._parked: dict[str, ParkedRow | None] = {}

    @property
    def workflows_to_tell(self) -> set[str]:
        """The workflows for which there is something to do once the batch is committed."""
        released = {name for name, row in self._parked.items() if row is None}
        return {row.workflow_id for row in self._messages} | released

    def claim(self, tenant_id: str, ticket_id: str, held_by: int | None) -> None:
        """Makes sure that the ticket's workflow is no other ticket's. `held_by`: its own tracking, if any.

        Raises InvalidField.
        """
        name = workflow_id(tenant_id, ticket_id)
        holder = self._workflows.get(name)
        if holder is None:
            row = self._routing.store.by_workflow(name)
            holder = row.tracking_key if row is not None else None
        gone = holder is None or (holder in self._tickets and self._tickets[holder] is None)
        if not gone and holder != held_by:
            raise InvalidField(
                "ticket_id", "WORKFLOW_ID_TAKEN", f"a ticket of another tenant has the workflow {name!r}"
            )

    def expect(self, record: Record, tenant_id: str, wake_at: int | None) -> None:
        """Notes when the next report on a tracking is to come; an ended one is forgotten."""
        key = record.tracking_key
        if record.state is not TrackingState.ACTIVE:
            self._tickets[key] = None
            return
        name = workflow_id(tenant_id, record.ticket_id)
        self._workflows[name] = key
        check_at = None if wake_at is None else wake_at + self._routing.settings.grace_ms
        self._tickets[key] = TemporalTicketRow(key, name, wake_at, check_at)

    def look_again(self, row: TemporalTicketRow) -> None:
        """Notes when to look at a tracking again."""
        self._tickets.setdefault(row.tracking_key, row)

    def leave(self, tracking_key: int) -> None:
        """Temporal does not carry this tracking any more."""
        self._tickets[tracking_key] = None

    def tell(self, name: str, tracking_key: int, message: Message, now: int) -> None:
        """Puts a message into the outbox."""
        self._messages.append(OutboxRow(name, tracking_key, now, encode(message)))

    def withdraw(self, name: str) -> None:
        """Takes back all messages for a workflow that wait; also those of this batch so far."""
        self._withdrawn.append(name)
        self._messages = [row for row in self._messages if row.workflow_id != name]

    def delivered(self, message_key: int) -> None:
        """Temporal has taken a message."""
        self._delivered.append(message_key)

    def park(self, row: ParkedRow) -> None:
        """Sends nothing more to a workflow until it is released."""
        self._parked[row.workflow_id] = row

    def release(self, name: str) -> None:
        """Goes on with a parked workflow."""
        self._parked[name] = None

    def finish(self, batch: Batch) -> None:
        """Puts the rows into `batch`."""
        for key, row in self._tickets.items():
            if row is None:
                batch.left_temporal.append((key,))
            else:
                batch.temporal_tickets.append(row)
        batch.delivered.extend((key,) for key in self._delivered)
        batch.withdrawn.extend((name,) for name in self._withdrawn)
        batch.forwarded.extend(self._messages)
        for name, parked in self._parked.items():
            if parked is None:
                batch.unparked_workflows.append((name,))
            else:
                batch.parked_workflows.append(parked)


def message_of(before: Record | None, after: Tracking, generation: int) -> Message:
    """What tells the workflow of the change from `before`, None for a new generation, to `after`."""
    if before is None:
        return Message(START, generation, tracking=after)
    fact = _added(before.tracking.facts, after.facts)
    if fact is None or not _same_otherwise(before.tracking, after):
        return Message(UPDATE, generation, tracking=after)
    return Message(fact.kind, generation, fact.at, fact.detail)


def _added(before: tuple[Fact, ...], after: tuple[Fact, ...]) -> Fact | None:
    """The one fact that was put among those `before`; None when it is not just one."""
    if len(after) != len(before) + 1:
        return None
    place = next((i for i, fact in enumerate(before) if fact != after[i]), len(before))
    return after[place] if after[place + 1 :] == before[place:] else None


def _same_otherwise(before: Tracking, after: Tracking) -> bool:
    return (before.terms, before.started_at, before.accounting) == (
        after.terms,
        after.started_at,
        after.accounting,
    )
