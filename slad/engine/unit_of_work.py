"""What one transaction reads and writes: the stored state, with the changes of this batch laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from slad.core.calendar import Calendar, compile_calendar
from slad.core.errors import Refusal, Refused
from slad.core.events import Event
from slad.core.settle import Transition
from slad.core.status import TrackingState, tracking_state
from slad.core.terms import Terms
from slad.core.tracking import Engine
from slad.engine.catalog import EVERY_HOUR, Catalog
from slad.engine.commands import Command, RequestIdentity, TermsOffer
from slad.engine.event_codec import Origin, encode_event
from slad.storage.codec import AuditEntry, encode
from slad.storage.journal import Counters
from slad.storage.rows import (
    AuditRow,
    Batch,
    EventRow,
    RequestRow,
    TrackingChange,
    TrackingRow,
)
from slad.storage.store import Record, Store, StoredAnswer
from slad.temporal.passthrough.messages import TemporalWork, message_of
from slad.temporal.passthrough.routing import Routing, check_carriable, workflow_id


class Write(NamedTuple):
    """A transition of one generation of a ticket, to be stored.

    `tracking_key` is None for a generation that is new.
    """

    tenant_id: str
    ticket_id: str
    generation: int
    tracking_key: int | None
    transition: Transition


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
        routing: Routing | None = None,
    ) -> None:
        self.now = now
        """UTC epoch ms; the one time of all commands in this batch."""
        self.crossings: list[Event] = []
        """The events of this batch that are about a threshold."""
        self._store = store
        self._catalog = catalog
        self._last_tenant, self._last_schedule, self._last_tracking, self._last_sequence = counters
        self._dirty: dict[int, Record] = {}
        self._new: set[int] = set()
        """Those of the dirty ones that have no row yet."""
        self._latest: dict[tuple[int, str], int] = {}
        # What this batch has looked up or made, in plain mappings: that is cheaper to ask than the catalog.
        self._tenant_keys: dict[str, int] = {}
        self._tenant_ids: dict[int, str] = {}
        self._new_schedules: dict[bytes, int] = {}
        self._calendars: dict[int, Calendar] = {}
        self._accepted: dict[tuple[int, str], tuple[TermsOffer, Terms]] = {}
        self._answers: dict[tuple[str, str], StoredAnswer | None] = {}
        self._stored: dict[tuple[int, str], Record | None] = {}
        self._stored_by_key: dict[int, Record] = {}
        self.rows = Batch()
        """What is to be written; trackings and answers go in by `put` and `remember`, to be seen."""
        self._routing = routing
        self._temporal: TemporalWork | None = None

    # --- reading

    def foresee(self, commands: Sequence[Command]) -> None:
        """Looks up at once what `commands` will ask for one by one; they may then be carried out."""
        requests = {
            (command.request.scope, command.request.request_id): None
            for command in commands
            if command.request is not None
        }
        tickets: dict[tuple[int, str], None] = {}
        for command in commands:
            if command.tenant_id and (tenant_key := self.tenant_key(command.tenant_id)) is not None:
                tickets[tenant_key, command.ticket_id] = None
        # What this batch has answered already stays.
        self._answers = {**requests, **self._store.answers(list(requests)), **self._answers}
        self._stored |= tickets
        self._stored |= self._store.latest_of(list(tickets))

    def foresee_keys(self, tracking_keys: Sequence[int]) -> None:
        """Looks up at once the trackings that `by_key` will be asked for."""
        self._stored_by_key |= self._store.by_keys(tracking_keys)

    def tenant_key(self, tenant_id: str) -> int | None:
        """The key of a tenant, if it has one."""
        key = self._tenant_keys.get(tenant_id)
        if key is None:
            key = self._catalog.tenant_key(tenant_id)
            if key is not None:
                self._tenant_keys[tenant_id] = key
        return key

    def tenant_id(self, tenant_key: int) -> str:
        """The name of a tenant."""
        return self._tenant_ids.get(tenant_key) or self._catalog.tenant_id(tenant_key)

    def latest(self, tenant_id: str, ticket_id: str) -> Record | None:
        """The latest generation of a ticket."""
        tenant_key = self.tenant_key(tenant_id)
        if tenant_key is None:
            return None
        ticket = tenant_key, ticket_id
        tracking_key = self._latest.get(ticket)
        if tracking_key is not None:
            return self._dirty[tracking_key]
        stored = self._stored[ticket] if ticket in self._stored else self._store.latest(*ticket)
        return self._over(stored)

    def by_key(self, tracking_key: int) -> Record | None:
        """One tracking by its key."""
        return (
            self._dirty.get(tracking_key)
            or self._stored_by_key.get(tracking_key)
            or self._store.by_key(tracking_key)
        )

    def locate(self, tenant_id: str, ticket_id: str) -> tuple[str, Record]:
        """(tenant_id, latest generation) of a ticket; an empty `tenant_id` is looked for (M7).

        Raises Refused: NOT_FOUND, or FAILED_PRECONDITION when several tenants have it.
        """
        if not tenant_id:
            tenant_id = self._sole_tenant(ticket_id)
        record = self.latest(tenant_id, ticket_id)
        if record is None:
            raise not_found(ticket_id)
        return tenant_id, record

    def answer(self, request: RequestIdentity) -> bytes | None:
        """The first answer to this request, if it was given (M6).

        Raises Refused when the id was used for something else.
        """
        key = request.scope, request.request_id
        known = self._answers[key] if key in self._answers else self._store.answer(*key)
        if known is None:
            return None
        if known.fingerprint != request.fingerprint:
            raise Refused(
                Refusal.FAILED_PRECONDITION,
                "REQUEST_ID_REUSED",
                f"request_id {request.request_id!r} was used for a different request",
            )
        return known.answer

    def calendar(self, schedule_key: int) -> Calendar:
        """The calendar of a schedule, stored or new in this batch."""
        calendar = self._calendars.get(schedule_key)
        if calendar is None:
            calendar = self._calendars[schedule_key] = self._catalog.calendar(schedule_key)
        return calendar

    # --- writing

    def accept(self, offer: TermsOffer, policy_id: str) -> Terms:
        """The terms of an offer, its schedule stored if it is new.

        A schedule that ends up unused because its command is refused does no harm: it is content.
        """
        # By identity: offers are shared by the requests that state the same.
        key = id(offer), policy_id
        accepted = self._accepted.get(key)
        if accepted is not None:
            return accepted[1]
        schedule_key = EVERY_HOUR
        if offer.schedule is not None:
            schedule_key = self._schedule_key(offer)
        terms = offer.under(schedule_key, policy_id)
        self._accepted[key] = offer, terms  # which keeps the offer, and so its identity
        return terms

    def choose_engine(
        self, tenant_id: str, ticket_id: str, live: Record | None, offer: TermsOffer | None
    ) -> Engine:
        """Who is to fire the thresholds of a ticket that starts now; `live` is the tracking it replaces.

        Raises InvalidField for one that its engine cannot carry.
        """
        if self._routing is None or self._routing.choose(tenant_id) is Engine.LOCAL:
            return Engine.LOCAL
        check_carriable(tenant_id, ticket_id, offer)
        self.temporal.claim(tenant_id, ticket_id, live.tracking_key if live else None)
        return Engine.TEMPORAL

    @property
    def temporal(self) -> TemporalWork:
        """What the batch does about Temporal."""
        if self._temporal is None:
            assert self._routing is not None
            self._temporal = TemporalWork(self._routing)
        return self._temporal

    def put(self, write: Write, audit: AuditEntry | None = None) -> int:
        """Stores a transition: its state, its events, and who asked for it; the key of the tracking."""
        tracking, life = write.transition.tracking, write.transition.reading.history.life
        tracking_key = write.tracking_key
        if tracking_key is None:
            tracking_key = self._last_tracking = self._last_tracking + 1
            self._new.add(tracking_key)
        tenant_key = self._tenant_key_for(write.tenant_id)
        record = Record(
            tracking_key,
            tenant_key,
            write.ticket_id,
            write.generation,
            tracking_state(life),
            write.transition.wake_at,
            tracking,
        )
        if tracking.engine == Engine.TEMPORAL:
            # The wheel is not to wake it; a report is expected by then.
            self.temporal.expect(record, write.tenant_id, record.wake_at)
            record = record._replace(wake_at=None)
        self._dirty[tracking_key] = record
        self._latest[tenant_key, write.ticket_id] = tracking_key
        if write.transition.events:
            origin = Origin(write.tenant_id, write.ticket_id, write.generation)
            sequence = self._last_sequence
            for event in write.transition.events:
                sequence += 1
                if event.crossing is not None:
                    self.crossings.append(event)
                body = encode_event(origin, tracking, event, sequence, self.now)
                self.rows.events.append(EventRow(sequence, tracking_key, tenant_key, event.type.value, body))
            self._last_sequence = sequence
        if audit is not None:
            self.rows.audit.append(AuditRow(tracking_key, self.now, encode(audit)))
        return tracking_key

    def put_and_tell(self, write: Write, audit: AuditEntry) -> None:
        """The same for a tracking that Temporal carries, whose workflow has to be told."""
        before = self.by_key(write.tracking_key) if write.tracking_key is not None else None
        tracking_key = self.put(write, audit)
        message = message_of(before, write.transition.tracking, write.generation)
        name = workflow_id(write.tenant_id, write.ticket_id)
        self.temporal.tell(name, tracking_key, message, self.now)

    def remember(self, request: RequestIdentity, answer: bytes) -> None:
        """Stores the first answer to a request."""
        self._answers[request.scope, request.request_id] = StoredAnswer(request.fingerprint, answer)
        self.rows.requests.append(
            RequestRow(request.scope, request.request_id, self.now, request.fingerprint, answer)
        )

    # --- committing

    def finish(self) -> Batch:
        """The rows to write."""
        batch = self.rows
        if self._temporal is not None:
            self._temporal.finish(batch)
        for record in self._dirty.values():
            body = encode(record.tracking)
            if record.tracking_key in self._new:
                batch.created.append(TrackingRow(*record[:4], record.state.value, record.wake_at, body))
            else:
                batch.changed.append(
                    TrackingChange(record.state.value, record.wake_at, body, record.tracking_key)
                )
        return batch

    @property
    def counters(self) -> Counters:
        """The highest keys in use once the batch is committed."""
        return Counters(self._last_tenant, self._last_schedule, self._last_tracking, self._last_sequence)

    @property
    def wakes(self) -> dict[int, int | None]:
        """The new wake of every tracking that was written, by key."""
        return {key: record.wake_at for key, record in self._dirty.items()}

    @property
    def workflows_to_tell(self) -> set[str]:
        """The workflows for which the batch has something to do."""
        return self._temporal.workflows_to_tell if self._temporal is not None else set()

    # --- inside

    def _over(self, stored: Record | None) -> Record | None:
        if stored is None:
            return None
        return self._dirty.get(stored.tracking_key, stored)

    def _sole_tenant(self, ticket_id: str) -> str:
        holders = self._store.holders(ticket_id)
        for record in self._dirty.values():
            if record.ticket_id == ticket_id:
                holders[record.tenant_key] = record.state is TrackingState.ACTIVE
        return self.tenant_id(sole_holder(holders, ticket_id))

    def _tenant_key_for(self, tenant_id: str) -> int:
        key = self.tenant_key(tenant_id)
        if key is None:
            key = self._last_tenant = self._last_tenant + 1
            self.rows.tenants.append((key, tenant_id))
            self._tenant_keys[tenant_id] = key
            self._tenant_ids[key] = tenant_id
        return key

    def _schedule_key(self, offer: TermsOffer) -> int:
        assert offer.schedule is not None
        schedule, digest, body = offer.schedule
        known = self._new_schedules.get(digest) or self._catalog.schedule_key(digest)
        if known is not None:
            return known
        key = self._last_schedule = self._last_schedule + 1
        self.rows.schedules.append((key, digest, body))
        self._new_schedules[digest] = key
        self._calendars[key] = compile_calendar(schedule)
        return key


def sole_holder(holders: dict[int, bool], ticket_id: str) -> int:
    """The one tenant under which a ticket is live, or if it is live nowhere, the one that has it (M7).

    Raises Refused.
    """
    if not holders:
        raise not_found(ticket_id)
    candidates = [key for key, live in holders.items() if live] or list(holders)
    if len(candidates) > 1:
        raise Refused(
            Refusal.FAILED_PRECONDITION,
            "TENANT_AMBIGUOUS",
            f"several tenants have a ticket {ticket_id!r}; say which with tenant_id",
        )
    return candidates[0]


def not_found(ticket_id: str) -> Refused:
    """What is said of a ticket that has no tracking."""
    return Refused(Refusal.NOT_FOUND, "TRACKING_NOT_FOUND", f"no tracking of ticket {ticket_id!r}")
