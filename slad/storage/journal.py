"""The one writer: a batch of rows, one durable transaction.

Contract
  - `commit` returns after the COMMIT that holds the whole batch (synchronous=FULL): durable.
  - When it raises, nothing of the batch is there, and the journal is ready for the next one. (If it was the
    sync that failed, a crash before the next commit may bring the batch back, whole.)
  - Sequences and keys grow; those of a failed batch are given out again, as nobody has seen them.
  - It is called by one thread at a time. Readers on other connections never wait for it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple

import apsw

from slad.storage.checkpoint import Checkpointer
from slad.storage.database import DAMAGE
from slad.storage.kill_points import COMMITTED, ROWS_WRITTEN, kill_point

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room. SQLite tells only the first apart, and not everywhere."""


class CannotWrite(Exception):  # noqa: N818 - what is the case, not what it is
    """A batch could not be made durable; nothing of it is there."""

    def __init__(self, cause: apsw.Error, system_errno: int = 0) -> None:
        super().__init__(str(cause))
        no_room = isinstance(cause, apsw.IOError) and system_errno in NO_ROOM
        self.disk_full = isinstance(cause, apsw.FullError) or no_room


class TrackingRow(NamedTuple):
    """A row of `tracking` that is new."""

    tracking_key: int
    tenant_key: int
    ticket_id: str
    generation: int
    state: int
    wake_at: int | None
    body: bytes


class TrackingChange(NamedTuple):
    """The changed columns of a row of `tracking`; the key last, as the statement has it."""

    state: int
    wake_at: int | None
    body: bytes
    tracking_key: int


class EventRow(NamedTuple):
    """A row of `event`."""

    sequence: int
    tracking_key: int
    tenant_key: int
    type: int
    body: bytes


class AuditRow(NamedTuple):
    """A row of `audit`, its key apart."""

    tracking_key: int
    recorded_at: int
    body: bytes


class RequestRow(NamedTuple):
    """A row of `request`, its key apart."""

    tenant_id: str
    request_id: str
    recorded_at: int
    fingerprint: bytes
    answer: bytes


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


@dataclass(slots=True)
class Batch:
    """The rows of one transaction."""

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
    released_events: list[tuple[int, str, str, str]] = field(default_factory=list)
    """(released, consumer, tenant_id, ticket_id), each: whether it is to be delivered again."""
    unparked_events: list[tuple[str, int]] = field(default_factory=list)
    """(consumer, sequence), each."""
    forgotten_parked_events: list[tuple[str]] = field(default_factory=list)
    """All that is parked for these consumers."""
    pruned_events: list[tuple[int]] = field(default_factory=list)
    """Everything up to this sequence."""
    pruned_requests: list[tuple[int]] = field(default_factory=list)
    """Everything up to this key."""
    left_temporal: list[tuple[int]] = field(default_factory=list)
    """Trackings, by key, that Temporal does not carry any more."""
    temporal_tickets: list[TemporalTicketRow] = field(default_factory=list)
    delivered: list[tuple[int]] = field(default_factory=list)
    """Messages, by key, that Temporal has taken."""
    withdrawn: list[tuple[str]] = field(default_factory=list)
    """Workflows whose messages are not to be sent any more; those of this batch follow."""
    forwarded: list[OutboxRow] = field(default_factory=list)
    released: list[tuple[str]] = field(default_factory=list)
    """Workflows that are not parked any more."""
    parked: list[ParkedRow] = field(default_factory=list)
    trials: list[tuple[int]] = field(default_factory=list)
    """So many bytes of nothing, to see whether anything can be written."""

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


STATEMENTS = {
    "tenants": "INSERT INTO tenant VALUES (?, ?)",
    "schedules": "INSERT INTO schedule VALUES (?, ?, ?)",
    "created": "INSERT INTO tracking VALUES (?, ?, ?, ?, ?, ?, ?)",
    "changed": "UPDATE tracking SET state = ?, wake_at = ?, body = ? WHERE tracking_key = ?",
    "events": "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
    "audit": "INSERT INTO audit VALUES (NULL, ?, ?, ?)",
    "requests": "INSERT INTO request VALUES (NULL, ?, ?, ?, ?, ?)",
    "consumers": "INSERT OR REPLACE INTO consumer VALUES (?, ?, ?, ?, ?)",
    "forgotten_consumers": "DELETE FROM consumer WHERE name = ?",
    "tokens": "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "parked_events": "INSERT OR REPLACE INTO parked_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "released_events": "UPDATE parked_event SET released = ?"
    " WHERE consumer = ? AND tenant_id = ? AND ticket_id = ?",
    "unparked_events": "DELETE FROM parked_event WHERE consumer = ? AND sequence = ?",
    "forgotten_parked_events": "DELETE FROM parked_event WHERE consumer = ?",
    "pruned_events": "DELETE FROM event WHERE sequence <= ?",
    "pruned_requests": "DELETE FROM request WHERE request_key <= ?",
    "left_temporal": "DELETE FROM temporal_ticket WHERE tracking_key = ?",
    "temporal_tickets": "INSERT OR REPLACE INTO temporal_ticket VALUES (?, ?, ?, ?)",
    "delivered": "DELETE FROM temporal_outbox WHERE message_key = ?",
    "withdrawn": "DELETE FROM temporal_outbox WHERE workflow_id = ?",
    "forwarded": "INSERT INTO temporal_outbox VALUES (NULL, ?, ?, ?, ?)",
    "released": "DELETE FROM temporal_parked WHERE workflow_id = ?",
    "parked": "INSERT OR REPLACE INTO temporal_parked VALUES (?, ?, ?, ?)",
    "trials": "INSERT OR REPLACE INTO meta VALUES ('trial', zeroblob(?))",
}
"""What is written for each list of a batch; one statement a table."""

ROWS_AT_ONCE: Final = (64, 16, 4)
"""Rows that one INSERT holds. Between two steps of a statement the writer's thread has to get hold of the
interpreter again, for which it queues behind the event loop: the fewer steps, the fewer times."""


def _of_many_rows(statement: str) -> dict[int, str]:
    """An INSERT of one row as one of each size."""
    head, values, row = statement.partition(" VALUES ")
    return {size: head + values + ", ".join([row] * size) for size in ROWS_AT_ONCE} if values else {}


OF_MANY_ROWS: Final = {name: _of_many_rows(statement) for name, statement in STATEMENTS.items()} | {
    "changed": {
        size: f"WITH new(state, wake_at, body, key) AS (VALUES {', '.join(['(?, ?, ?, ?)'] * size)})"
        " UPDATE tracking SET state = new.state, wake_at = new.wake_at, body = new.body"
        " FROM new WHERE tracking_key = new.key"
        for size in ROWS_AT_ONCE
    }
}
"""The same for several rows, by their number."""


class Counters(NamedTuple):
    """The highest keys in use."""

    tenant: int
    schedule: int
    tracking: int
    sequence: int


class Journal:
    """The writing connection.

    `checkpointer` is told of every commit; without one SQLite checkpoints within commits.
    """

    def __init__(self, connection: apsw.Connection, checkpointer: Checkpointer | None = None) -> None:
        self._connection = connection
        self._checkpointer = checkpointer

    def counters(self) -> Counters:
        """The highest keys in use, by index look-ups."""
        highest = self._connection.execute(
            "SELECT (SELECT max(tenant_key) FROM tenant), (SELECT max(schedule_key) FROM schedule),"
            " (SELECT max(tracking_key) FROM tracking), max(coalesce((SELECT max(sequence) FROM event), 0),"
            " coalesce((SELECT value FROM meta WHERE name = 'sequence_floor'), 0))"
        ).get
        return Counters(*(value or 0 for value in highest))

    def begin(self) -> None:
        """Begins the transaction that `commit` or `abandon` ends; one that was left open is abandoned.

        Reads on this connection (see `Store`) then see one state of the database, and need no locks of their
        own: a look-up takes 5 µs instead of 15.
        """
        self.abandon()
        self._connection.execute("BEGIN")

    def abandon(self) -> None:
        """Ends a transaction without its writes, if one is open."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def commit(self, batch: Batch) -> None:
        """Makes `batch` durable. Raises CannotWrite, or DAMAGE; then nothing of it is there."""
        connection = self._connection
        try:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            for name in STATEMENTS:
                rows = getattr(batch, name)
                if rows:
                    self._execute_all(name, rows)
            kill_point(ROWS_WRITTEN)
            connection.execute("COMMIT")
            kill_point(COMMITTED)
        except apsw.Error as error:
            # Some failures (disk full, I/O) have rolled back by themselves.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, DAMAGE):
                raise
            raise CannotWrite(error, connection.system_errno) from error
        if self._checkpointer is not None:
            self._checkpointer.committed()

    def _execute_all(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        place = 0
        for size, statement in OF_MANY_ROWS[name].items():
            while len(rows) - place >= size:
                self._connection.execute(statement, tuple(chain.from_iterable(rows[place : place + size])))
                place += size
        if place < len(rows):
            self._connection.executemany(STATEMENTS[name], rows[place:])

    def close(self) -> None:
        """Closes the connection; the WAL is folded into the database when it is the last one."""
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._connection.close()
