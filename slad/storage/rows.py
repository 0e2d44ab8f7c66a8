"""The rows of the tables, and the batch of them that one transaction writes (see `journal`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from slad.storage.checksums import parked_event_checksum


class TrackingRow(NamedTuple):
    """A row of `tracking` that is new."""

    tracking_key: int
    tenant_key: int
    ticket_id: str
    generation: int
    state: int
    wake_at: int | None
    body: bytes
    checksum: int | None = None
    """See `slad.storage.checksums`; None: without one."""


class TrackingChange(NamedTuple):
    """The changed columns of a row of `tracking`; the key last, as the statement has it."""

    state: int
    wake_at: int | None
    body: bytes
    checksum: int | None
    tracking_key: int


class EventRow(NamedTuple):
    """A row of `event`."""

    sequence: int
    tracking_key: int
    tenant_key: int
    type: int
    body: bytes
    checksum: int | None = None


class AuditRow(NamedTuple):
    """A row of `audit`, its key apart."""

    tracking_key: int
    recorded_at: int
    body: bytes
    checksum: int | None = None


class RequestRow(NamedTuple):
    """A row of `request`, its key apart."""

    tenant_id: str
    request_id: str
    recorded_at: int
    fingerprint: bytes
    answer: bytes
    checksum: int | None = None


class ConsumerRow(NamedTuple):
    """A row of `consumer`."""

    name: str
    acknowledged: int
    created_at: int
    acknowledged_at: int | None
    tenants: str = ""
    """As of TokenRow."""


class TokenRow(NamedTuple):
    """A row of `token`; instants in UTC epoch ms."""

    token_id: str
    name: str
    role: int
    tenants: str
    """A JSON array of tenant ids, sorted; empty: every tenant."""
    digest: bytes
    former_digest: bytes | None
    former_until: int | None
    created_at: int
    expires_at: int | None
    rotated_at: int | None
    revoked_at: int | None


class OutboxRow(NamedTuple):
    """A row of `temporal_outbox`, its key apart."""

    workflow_id: str
    tracking_key: int
    recorded_at: int
    body: bytes
    checksum: int | None = None


class TemporalTicketRow(NamedTuple):
    """A row of `temporal_ticket`."""

    tracking_key: int
    workflow_id: str
    wake_at: int | None
    check_at: int | None


class ParkedRow(NamedTuple):
    """A row of `temporal_parked`."""

    workflow_id: str
    tracking_key: int
    parked_at: int
    reason: str


class ParkedEventRow(NamedTuple):
    """A row of `parked_event`: an event that a sink could not deliver, or that waits behind one."""

    consumer: str
    sequence: int
    tenant_id: str
    ticket_id: str
    parked_at: int
    attempts: int
    """How often its delivery was tried; 0: it waits behind another event of its ticket."""
    reason: str
    released: int
    """1: to be delivered again."""
    body: bytes
    checksum: int | None = None


class LedgerRow(NamedTuple):
    """A row of `ledger`, its key apart."""

    tracking_key: int
    tenant_key: int
    ticket_id: str
    generation: int
    revision: int
    recorded_at: int
    attributes: str | None
    tzdata: str
    clock: str
    cycle_key: int
    cycle: int
    opened_at: int
    policy_id: str
    priority_id: str
    owner: str
    due_at: int | None
    closed_at: int
    target_ms: int
    elapsed_ms: int
    paused_ms: int
    paused_by: str | None
    verdict: int
    reported_met: int | None
    reason_code: str
    note: str
    excused: int


ROWS_ON_LOOP: Final = 64
"""So many events of a ticket, or rows of its ledger, the event loop makes itself. One that is imported with
much that has happened has thousands, at some 10 µs each, for which timers do not wait."""


@dataclass(slots=True)
class Batch:
    """The rows of one transaction: as if each was written when it was put here.

    They are written list by list, removals first (see `journal.WRITES`). So where one batch may put a row and
    remove it there is a method for it, which takes back what stands here already.
    """

    tenants: list[tuple[int, str]] = field(default_factory=list)
    schedules: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    created: list[TrackingRow] = field(default_factory=list)
    changed: list[TrackingChange] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    consumers: list[ConsumerRow] = field(default_factory=list)
    forgotten_consumers: list[tuple[str]] = field(default_factory=list)
    tokens: list[TokenRow] = field(default_factory=list)
    parked_events: list[ParkedEventRow] = field(default_factory=list)
    redelivery_flags: list[tuple[int, str, str, str]] = field(default_factory=list)
    """(released, consumer, tenant_id, ticket_id), each: whether it is to be delivered again."""
    unparked_events: list[tuple[str, int]] = field(default_factory=list)
    """(consumer, sequence), each."""
    forgotten_parked_events: list[tuple[str]] = field(default_factory=list)
    """All that is parked for these consumers."""
    pruned_events: list[tuple[int]] = field(default_factory=list)
    """Everything up to this sequence; the newest must stay, as sequences go on from it."""
    pruned_requests: list[tuple[int]] = field(default_factory=list)
    """Everything up to this key."""
    ledger: list[LedgerRow] = field(default_factory=list)
    pruned_ledger: list[tuple[int]] = field(default_factory=list)
    """Rows, by key, that are older than the ledger is kept."""
    ledger_unfilled: list[tuple[int]] = field(default_factory=list)
    """Up to which key trackings from before the ledger have no rows yet; the last of the list counts."""
    left_temporal: list[tuple[int]] = field(default_factory=list)
    """Trackings, by key, that Temporal does not carry any more."""
    temporal_tickets: list[TemporalTicketRow] = field(default_factory=list)
    outbox_taken: list[tuple[int]] = field(default_factory=list)
    """Messages, by key, that Temporal has taken."""
    outbox_withdrawn: list[tuple[str]] = field(default_factory=list)
    """Workflows whose messages are not to be sent any more; those of this batch follow."""
    outbox: list[OutboxRow] = field(default_factory=list)
    unparked_workflows: list[tuple[str]] = field(default_factory=list)
    parked_workflows: list[ParkedRow] = field(default_factory=list)
    heartbeats: list[tuple[int]] = field(default_factory=list)
    """(UTC epoch ms); see Store.known_until."""
    trials: list[tuple[int]] = field(default_factory=list)
    """So many bytes of nothing, to see whether anything can be written."""

    late: list[tuple[list[Any], int, Callable[[], list[Any]]]] = field(default_factory=list)
    """(list, how many of its rows come before, what makes the next ones), each: see `leave`."""

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)

    def leave(self, rows: list[Any], make: Callable[[], list[Any]]) -> None:
        """Lets the thread that writes make the next rows of a list: those of more than ROWS_ON_LOOP."""
        self.late.append((rows, len(rows), make))

    def complete(self) -> None:
        """Makes the rows that were left."""
        while self.late:
            rows, place, make = self.late.pop()
            rows[place:place] = make()

    def forget_consumer(self, name: str) -> None:
        """Removes a consumer, and what is parked for it."""
        self.consumers = [row for row in self.consumers if row.name != name]
        self.parked_events = [row for row in self.parked_events if row.consumer != name]
        self.forgotten_consumers.append((name,))
        self.forgotten_parked_events.append((name,))

    def park_events(self, rows: Iterable[ParkedEventRow]) -> None:
        """Stores parked events, each in place of what was stored of it."""
        self.parked_events.extend(row._replace(checksum=parked_event_checksum(row)) for row in rows)

    def flag_for_redelivery(self, consumer: str, tickets: Iterable[tuple[str, str]], released: bool) -> None:
        """Says whether what is parked of these tickets (tenant_id, ticket_id) is to be delivered again."""
        flags = [(int(released), consumer, *ticket) for ticket in tickets]
        self.redelivery_flags.extend(flags)
        told = {flag[1:]: flag[0] for flag in flags}
        self.parked_events = [
            row._replace(released=told.get((row.consumer, row.tenant_id, row.ticket_id), row.released))
            for row in self.parked_events
        ]

    def unpark_events(self, consumer: str, sequences: Iterable[int]) -> None:
        """Removes parked events: they were delivered, or given up."""
        keys = [(consumer, sequence) for sequence in sequences]
        gone = set(keys)
        self.parked_events = [row for row in self.parked_events if (row.consumer, row.sequence) not in gone]
        self.unparked_events.extend(keys)
