"""What one transaction reads and writes: the stored state, with the changes of this batch laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from slad.core.errors import Refusal, Refused
from slad.core.events import Event
from slad.core.ledger import overdue_cycles
from slad.core.settle import Transition
from slad.core.status import tracking_state
from slad.core.tracking import Engine, TicketRef
from slad.core.undo import Undo, undo_of
from slad.engine.carrier import CarrierTurn
from slad.engine.catalog import Catalog
from slad.engine.catalog_overlay import CatalogOverlay
from slad.engine.commands import Command, RequestIdentity
from slad.engine.event_codec import Change, change_of, encode_events
from slad.engine.ledger import LedgerTurn
from slad.engine.tickets import Tickets
from slad.storage.checksums import audit_checksum, event_checksum, request_checksum
from slad.storage.codec import AuditEntry, encode
from slad.storage.journal import Counters
from slad.storage.row_reader import Record, StoredAnswer
from slad.storage.rows import ROWS_ON_LOOP, AuditRow, Batch, EventRow, RequestRow
from slad.storage.store import Store


class Write(msgspec.Struct, frozen=True):
    """A transition of one generation of a ticket, to be stored."""

    ticket: TicketRef
    tracking_key: int | None
    """None: the generation is new."""
    transition: Transition
    former: Record | None = None
    """The state before, or the generation whose cycles this new one goes on with. None: a new
    ticket, or only its firings change."""

    changes_clocks: bool = True
    """False: an annotation, which the carrier of the ticket need not know."""

    @property
    def undo(self) -> Undo | None:
        """How the clocks get back to where they were (A5); None: they are there, or are new ones."""
        if self.former is None or self.former.tracking_key != self.tracking_key:
            return None
        return undo_of(self.former.tracking, self.transition.tracking)


def _event_rows(tracking_key: int, tenant_key: int, change: Change) -> list[EventRow]:
    """The rows of the events of a change."""
    rows: list[EventRow] = []
    for sequence, (event, body) in enumerate(
        zip(change.events, encode_events(change), strict=True), change.sequence + 1
    ):
        kind = int(event.type)
        checksum = event_checksum(sequence, tracking_key, tenant_key, kind, body)
        rows.append(EventRow(sequence, tracking_key, tenant_key, kind, body, checksum))
    return rows


class UnitOfWork:
    """One batch in the making. Used on the event loop only; nothing of it is visible until it is committed.

    A command that raises before its first `put` or `remember` has left nothing behind.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        counters: Counters,
        now: int,
        carrier: CarrierTurn,
    ) -> None:
        self.now = now
        """UTC epoch ms; the one time of all commands in this batch."""
        self.rows = Batch()
        """The rows to write. Trackings and answers go in by `put` and `remember`, for later commands."""
        self.crossings: list[Event] = []
        """The events of this batch that are about a threshold."""
        self.derived = 0
        """Wakes that were derived again, because the time-zone database has changed."""
        self.moved = 0
        """Those of them that are at another instant now."""
        # The epoch: how often the database was restored.
        last_tenant, last_schedule, self._last_tracking, self._last_sequence, self.epoch = counters
        self.catalog = CatalogOverlay(catalog, self.rows, last_tenant, last_schedule)
        self.tickets = Tickets(store, self.catalog, self.epoch)
        self.ledger = LedgerTurn(store, self.rows)
        self.overdue: dict[int, int] = {}
        """Open cycles past 100 %, by tracking, of those in which something has fired."""
        self.stored = store
        """What was committed before this batch."""
        self._to_tell: list[tuple[int, int, Change]] = []
        """(tracking_key, tenant_key, what it tells) of what was put."""
        self._to_audit: list[tuple[int, int, AuditEntry]] = []
        """(tracking_key, recorded_at, entry) of the commands."""
        self.left = 0
        """How many events the writer's thread has to make."""
        self._answers: dict[tuple[str, str], StoredAnswer | None] = {}
        self.carrier = carrier
        """What the carrier of tickets adds to the batch."""

    def foresee(self, commands: Sequence[Command]) -> None:
        """Looks up at once what `commands` will ask for one by one; they may then be carried out."""
        requests = {
            (command.request.scope, command.request.request_id)
            for command in commands
            if command.request is not None
        }
        # What this batch has answered already stays.
        self._answers = self.stored.answers(list(requests)) | self._answers
        self.tickets.foresee([(command.tenant_id, command.ticket_id) for command in commands])

    def answer(self, request: RequestIdentity) -> bytes | None:
        """The first answer to this request, if it was given (M6).

        Raises Refused when the id was used for something else.
        """
        key = request.scope, request.request_id
        known = self._answers[key] if key in self._answers else self.stored.answer(*key)
        if known is None:
            return None
        if known.fingerprint != request.fingerprint:
            raise Refused(
                Refusal.FAILED_PRECONDITION,
                "REQUEST_ID_REUSED",
                f"request_id {request.request_id!r} was used for a different request",
            )
        return known.answer

    def remember(self, request: RequestIdentity, answer: bytes) -> None:
        """Stores the first answer to a request."""
        self._answers[request.scope, request.request_id] = StoredAnswer(request.fingerprint, answer)
        checksum = request_checksum(request.scope, request.request_id, request.fingerprint, answer)
        self.rows.requests.append(
            RequestRow(request.scope, request.request_id, self.now, request.fingerprint, answer, checksum)
        )

    def put(self, write: Write, audit: AuditEntry | None = None) -> int:
        """Stores a transition: its state, its events, and who asked for it; the key of the tracking."""
        ticket, tracking_key, transition = write.ticket, write.tracking_key, write.transition
        tracking = transition.tracking
        is_new = tracking_key is None
        if tracking_key is None:
            tracking_key = self._last_tracking = self._last_tracking + 1
        tenant_key = self.catalog.key_for(ticket.tenant_id)
        record = Record(
            tracking_key,
            tenant_key,
            ticket.ticket_id,
            ticket.generation,
            tracking_state(transition.reading.history.life),
            transition.wake_at,
            tracking,
        )
        # The ledger first: it may find a damaged row and raise; then nothing of the transition may be here.
        if write.former is not None or (is_new and tracking.facts):
            self.ledger.note(write.former, record, transition.reading, self.catalog.calendar, self.now)
        if is_new and ticket.generation > 1:
            self._end_waking(ticket)
        if tracking.engine != Engine.LOCAL:
            record = self.carrier.expect(record, ticket.tenant_id)
        self.tickets.put(record, is_new=is_new)
        if tracking.fired:
            self.overdue[tracking_key] = overdue_cycles(transition.reading)
        if events := transition.events:
            change = change_of(ticket, transition, self._last_sequence, self.now)
            self._to_tell.append((tracking_key, tenant_key, change))
            self._last_sequence += len(events)
            self.left += len(events) if len(events) > ROWS_ON_LOOP else 0
            self.crossings += [event for event in events if event.crossing is not None]
        if audit is not None:
            self._to_audit.append((tracking_key, self.now, audit))
        return tracking_key

    def _end_waking(self, ticket: TicketRef) -> None:
        """The generation before `ticket` fires nothing any more, though its end may be ahead of now (M6)."""
        former = self.tickets.latest(ticket.tenant_id, ticket.ticket_id)
        if former is not None and former.wake_at is not None:
            self.tickets.put(msgspec.structs.replace(former, wake_at=None), is_new=False)

    def put_and_tell(self, write: Write, audit: AuditEntry) -> None:
        """Stores what a command did to a ticket, and notifies its carrier (see `put`)."""
        if write.transition.tracking.engine == Engine.LOCAL or not write.changes_clocks:
            self.put(write, audit)
            return
        before = self.tickets.by_key(write.tracking_key) if write.tracking_key is not None else None
        record = self.tickets.by_key(self.put(write, audit))
        assert record is not None
        self.carrier.tell(before, record, write.ticket.tenant_id, self.now)

    def finish(self) -> Batch:
        """The rows to write."""
        self._tell()
        self.carrier.finish(self.rows)
        self.tickets.write_to(self.rows)
        return self.rows

    def _tell(self) -> None:
        """Makes the rows of events and audit, all of a kind together.

        Doing the same thing many times in a row keeps its code in the processor's cache, which saves a tenth
        of a command.
        """
        changes, self._to_tell = self._to_tell, []
        for put in changes:
            if len(put[2].events) <= ROWS_ON_LOOP:
                self.rows.events += _event_rows(*put)
            else:
                self.rows.leave(self.rows.events, partial(_event_rows, *put))
        entries, self._to_audit = self._to_audit, []
        for tracking_key, now, audit in entries:
            entry = encode(audit)
            self.rows.audit.append(
                AuditRow(tracking_key, now, entry, audit_checksum(tracking_key, now, entry))
            )

    @property
    def counters(self) -> Counters:
        """The highest keys in use once the batch is committed."""
        return Counters(
            self.catalog.last_tenant,
            self.catalog.last_schedule,
            self._last_tracking,
            self._last_sequence,
            self.epoch,
        )
