"""Temporal as a carrier of tickets (see `slad.engine.carrier`): its rows in the engine's transactions.

Contract
  - The command is journaled as for any ticket; its message for Temporal commits with it, so none is lost.
  - Messages of a ticket are in the order of its commands. They leave the outbox once Temporal has them.
"""

from __future__ import annotations

import msgspec

from slad.core.errors import InvalidField
from slad.core.schedule import Schedule
from slad.core.status import TrackingState
from slad.core.terms import Terms
from slad.core.tracking import Engine
from slad.engine.commands import TermsOffer
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.checksums import message_checksum
from slad.storage.codec import Message, encode
from slad.storage.row_reader import Record
from slad.storage.rows import Batch, OutboxRow, ParkedRow, TemporalTicketRow
from slad.storage.temporal_store import TemporalStore
from slad.temporal.passthrough.lanes import Lanes
from slad.temporal.passthrough.messages import change_message
from slad.temporal.passthrough.routing import Routing, check_carriable
from slad.temporal.workflow.names import workflow_id


class TemporalCarrier:
    """Temporal, as the engine sees it. `store` is on the writer's connection, as all reads of a turn are."""

    def __init__(self, routing: Routing, store: TemporalStore, lanes: Lanes) -> None:
        self.routing = routing
        self._store = store
        self._lanes = lanes

    def turn(self) -> TemporalTurn:
        """What it adds to a unit of work that begins."""
        return TemporalTurn(self.routing, self._store, self._lanes)


class TemporalTurn:
    """The part of a unit of work that is about Temporal."""

    def __init__(self, routing: Routing, store: TemporalStore, lanes: Lanes) -> None:
        self._routing = routing
        self._store = store
        self._lanes = lanes
        self._tickets: dict[int, TemporalTicketRow | None] = {}
        self._holders: dict[str, int] = {}
        self._messages: list[OutboxRow] = []
        self._taken: list[int] = []
        self._withdrawn: list[str] = []
        self._parked: dict[str, ParkedRow | None] = {}

    # --- what the engine asks

    def choose(self, tenant_id: str, ticket_id: str, live: Record | None, offer: TermsOffer | None) -> Engine:
        """The engine of a ticket that starts now; `live` is the tracking that it replaces.

        Raises InvalidField for a ticket that Temporal is to have and cannot carry.
        """
        engine = self._routing.choose(tenant_id)
        if engine is Engine.TEMPORAL and offer is not None and (why := self._not_carried(offer)):
            if self._routing.settings.mode == "temporal":
                raise why
            engine = Engine.LOCAL
        if engine is Engine.TEMPORAL:
            check_carriable(tenant_id, ticket_id, offer)
            self.claim(tenant_id, ticket_id, live.tracking_key if live else None)
        return engine

    def check(self, record: Record, offer: TermsOffer) -> None:
        """Refuses terms that Temporal cannot carry for a tracking that it carries. Raises InvalidField."""
        if record.tracking.engine == Engine.TEMPORAL and (why := self._not_carried(offer)):
            raise why

    def _not_carried(self, offer: TermsOffer) -> InvalidField | None:
        schedule = offer.schedule.schedule if offer.schedule else None
        return self._routing.not_carried(clocks=bool(offer.clocks), schedule=schedule)

    def check_terms(self, terms: Terms, schedule: Schedule | None) -> None:
        """Refuses stored terms that Temporal cannot carry. Raises InvalidField."""
        if why := self._routing.not_carried(clocks=bool(terms.named), schedule=schedule):
            raise why

    def expect(self, record: Record, tenant_id: str) -> Record:
        """Notes when a tracking's next report is to come, or that it has ended; the row that is to be stored.

        Without a wake, as the worker reports. Where none does, slad's own timers fire the thresholds, and the
        workflow is looked at a grace after each.
        """
        key, wake_at = record.tracking_key, record.wake_at
        if record.state is not TrackingState.ACTIVE:
            self._tickets[key] = None
            return record  # what is reached up to an end that is ahead of now (M6) slad fires itself
        name = workflow_id(tenant_id, record.ticket_id)
        self._holders[name] = key
        check_at = self._check_at(wake_at)
        reports_nothing = self._routing.standing.reports_nothing
        former = self._tickets.get(key) or self._store.by_tracking(key) if reports_nothing else None
        if former is not None and former.check_at is not None:
            check_at = former.check_at if check_at is None else min(former.check_at, check_at)
        self._tickets[key] = TemporalTicketRow(key, name, wake_at, check_at)
        return record if reports_nothing else msgspec.structs.replace(record, wake_at=None)

    def _check_at(self, wake_at: int | None) -> int | None:
        return None if wake_at is None else wake_at + self._routing.settings.grace_ms

    def tell(self, before: Record | None, record: Record, tenant_id: str, now: int) -> None:
        """Puts the message for the workflow of a ticket that a command has changed into the outbox."""
        name = workflow_id(tenant_id, record.ticket_id)
        self.send(name, record.tracking_key, change_message(before, record), now)

    def finish(self, batch: Batch) -> None:
        """Puts the rows into `batch`."""
        for key, row in self._tickets.items():
            if row is None:
                batch.left_temporal.append((key,))
            else:
                batch.temporal_tickets.append(row)
        batch.outbox_taken.extend((key,) for key in self._taken)
        batch.outbox_withdrawn.extend((name,) for name in self._withdrawn)
        batch.outbox.extend(self._messages)
        for name, parked in self._parked.items():
            if parked is None:
                batch.unparked_workflows.append((name,))
            else:
                batch.parked_workflows.append(parked)

    def committed(self) -> None:
        """Lets the forwarder know for which workflows there is something to do."""
        for row in self._messages:
            self._lanes.add(row.workflow_id)
        for name, parked in self._parked.items():
            if parked is None:
                self._lanes.add(name)

    # --- what the pass-through notes

    def claim(self, tenant_id: str, ticket_id: str, held_by: int | None) -> None:
        """Makes sure that the ticket's workflow is no other ticket's. `held_by`: its own tracking, if any.

        Raises InvalidField.
        """
        name = workflow_id(tenant_id, ticket_id)
        holder = self._holders.get(name)
        if holder is None:
            row = self._store.by_workflow(name)
            holder = row.tracking_key if row is not None else None
        gone = holder is None or (holder in self._tickets and self._tickets[holder] is None)
        if not gone and holder != held_by:
            raise InvalidField(
                "ticket_id", "WORKFLOW_ID_TAKEN", f"a ticket of another tenant has the workflow {name!r}"
            )

    def looked_at(self, row: TemporalTicketRow, now: int) -> None:
        """A tracking is looked at: the next look is a grace after its next threshold, or after this look."""
        next_at = None if row.wake_at is None else max(row.wake_at, now)
        self._tickets[row.tracking_key] = row._replace(check_at=self._check_at(next_at))

    def leave(self, tracking_key: int) -> None:
        """Temporal does not carry this tracking any more."""
        self._tickets[tracking_key] = None

    def send(self, name: str, tracking_key: int, message: Message, now: int) -> None:
        """Puts a message into the outbox. `now`: UTC epoch ms."""
        row = name, tracking_key, now, encode(message)
        self._messages.append(OutboxRow(*row, message_checksum(*row)))

    def withdraw(self, name: str) -> None:
        """Takes back all messages for a workflow that wait; also those of this batch so far."""
        self._withdrawn.append(name)
        self._messages = [row for row in self._messages if row.workflow_id != name]

    def taken(self, message_key: int) -> None:
        """Temporal has taken a message."""
        self._taken.append(message_key)

    def park(self, row: ParkedRow) -> None:
        """Sends nothing more to a workflow until it is released."""
        self._parked[row.workflow_id] = row

    def parked_for(self, name: str) -> int | None:
        """The tracking for which a workflow is parked, by key; None: it is not parked."""
        row = self._parked[name] if name in self._parked else self._store.parked_of(name)
        return row and row.tracking_key

    def carried_by(self, name: str) -> int | None:
        """The live tracking that a workflow carries, by key."""
        row = self._store.by_workflow(name)
        return row and row.tracking_key

    def release(self, name: str) -> None:
        """Goes on with a parked workflow."""
        self._parked[name] = None


def temporal_turn(work: UnitOfWork) -> TemporalTurn:
    """Temporal's part of a unit of work, of an engine that was given a `TemporalCarrier`."""
    turn = work.carrier
    assert isinstance(turn, TemporalTurn)
    return turn
