"""The one writer: a batch of rows, one durable transaction.

Contract
  - `commit` returns after the COMMIT that holds the whole batch (synchronous=FULL): durable.
  - When it raises, nothing of the batch is there, and the journal is ready for the next one. (If it was the
    sync that failed, a crash before the next commit may bring the batch back, whole.)
  - Sequences and keys grow; those of a failed batch are given out again, as nobody has seen them.
  - It is called by one thread at a time. Readers on other connections never wait for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain, count, repeat
from typing import Any, Final, NamedTuple

import apsw

from slad.storage.checkpoint import Checkpointer
from slad.storage.database import DAMAGE, is_full
from slad.storage.kill_points import COMMITTED, ROWS_WRITTEN, kill_point
from slad.storage.open_files import MayNotWrite
from slad.storage.rows import Batch, LedgerRow
from slad.storage.store import Store
from slad.storage.unreadable import UnreadableValues


class CannotWrite(Exception):  # noqa: N818 - what is the case, not what it is
    """A batch could not be made durable; nothing of it is there."""

    def __init__(self, cause: Exception, system_errno: int = 0) -> None:
        super().__init__(str(cause))
        self.disk_full = is_full(cause, system_errno)
        self.fenced = isinstance(cause, Fenced)


class Fenced(MayNotWrite):
    """Another copy of the database may be the one that serves."""


WRITES: Final = (
    # What is removed goes first, as a batch may remove something and make it anew. The other way round a
    # batch has taken back what it was to make (see `Batch`).
    ("forgotten_consumers", "DELETE FROM consumer WHERE name = ?"),
    ("forgotten_parked_events", "DELETE FROM parked_event WHERE consumer = ?"),
    ("unparked_events", "DELETE FROM parked_event WHERE consumer = ? AND sequence = ?"),
    ("pruned_events", "DELETE FROM event WHERE sequence <= ?"),
    ("pruned_requests", "DELETE FROM request WHERE request_key <= ?"),
    ("pruned_ledger", "DELETE FROM ledger WHERE entry_key = ?"),
    ("left_temporal", "DELETE FROM temporal_ticket WHERE tracking_key = ?"),
    ("outbox_taken", "DELETE FROM temporal_outbox WHERE message_key = ?"),
    ("outbox_withdrawn", "DELETE FROM temporal_outbox WHERE workflow_id = ?"),
    ("unparked_workflows", "DELETE FROM temporal_parked WHERE workflow_id = ?"),
    ("tenants", "INSERT INTO tenant VALUES (?, ?)"),
    ("schedules", "INSERT INTO schedule VALUES (?, ?, ?)"),
    ("created", "INSERT INTO tracking VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
    ("changed", "UPDATE tracking SET state = ?, wake_at = ?, body = ?, checksum = ? WHERE tracking_key = ?"),
    ("events", "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)"),
    ("audit", "INSERT INTO audit VALUES (NULL, ?, ?, ?, ?)"),
    ("ledger", f"INSERT INTO ledger VALUES (NULL{', ?' * len(LedgerRow._fields)})"),
    ("requests", "INSERT INTO request VALUES (NULL, ?, ?, ?, ?, ?, ?)"),
    ("consumers", "INSERT OR REPLACE INTO consumer VALUES (?, ?, ?, ?, ?)"),
    ("tokens", "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    (
        "redelivery_flags",
        "UPDATE parked_event SET released = ? WHERE consumer = ? AND tenant_id = ? AND ticket_id = ?",
    ),
    ("parked_events", "INSERT OR REPLACE INTO parked_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    ("temporal_tickets", "INSERT OR REPLACE INTO temporal_ticket VALUES (?, ?, ?, ?)"),
    ("outbox", "INSERT INTO temporal_outbox VALUES (NULL, ?, ?, ?, ?, ?)"),
    ("parked_workflows", "INSERT OR REPLACE INTO temporal_parked VALUES (?, ?, ?, ?)"),
    ("ledger_unfilled", "INSERT OR REPLACE INTO meta VALUES ('ledger_unfilled', ?)"),
    ("heartbeats", "INSERT OR REPLACE INTO meta VALUES ('heartbeat', ?)"),
    ("trials", "INSERT OR REPLACE INTO meta VALUES ('trial', zeroblob(?))"),
)
"""(list of a batch, what is written for each of its rows), in the order in which they are written."""

STATEMENTS: Final = dict(WRITES)

ROWS_AT_ONCE: Final = (4, 16, 32, 64, 128)
"""Rows that one statement writes; it is filled up with rows of nothing. Between two steps of a statement the
writer's thread has to get hold of the interpreter again, for which it queues behind the event loop: the fewer
steps, the fewer times."""


def _of_many_rows(statement: str) -> dict[int, str]:
    """An INSERT of one row as one of each size. The first value of no row is NULL."""
    head, values, row = statement.partition(" VALUES ")
    if not values:
        return {}
    columns = count(1)
    written = re.sub(r"\?", lambda _: f"column{next(columns)}", row[1:-1])
    given = f"({', '.join('?' * row.count('?'))})"
    return {
        size: f"{head} SELECT {written} FROM (VALUES {', '.join([given] * size)}) WHERE column1 IS NOT NULL"
        for size in ROWS_AT_ONCE
    }


OF_MANY_ROWS: Final = {name: _of_many_rows(statement) for name, statement in STATEMENTS.items()} | {
    "changed": {
        size: "WITH new(state, wake_at, body, checksum, key)"
        f" AS (VALUES {', '.join(['(?, ?, ?, ?, ?)'] * size)}) UPDATE tracking"
        " SET state = new.state, wake_at = new.wake_at, body = new.body, checksum = new.checksum"
        " FROM new WHERE tracking_key = new.key"
        for size in ROWS_AT_ONCE
    }
}
"""The statements for several rows at once, by list and number of rows."""


class Counters(NamedTuple):
    """The highest keys in use, and the epoch that they are of."""

    tenant: int
    schedule: int
    tracking: int
    sequence: int
    epoch: int = 0


class Journal:
    """The writing connection.

    `checkpointer` is told of every commit; without one checkpoints are SQLite's, or somebody else's. Every
    check of `checks` is made before each transaction and each COMMIT, and raises MayNotWrite.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        checkpointer: Checkpointer | None = None,
        checks: Sequence[Callable[[], None]] = (),
        unreadable: UnreadableValues | None = None,
    ) -> None:
        self._connection = connection
        self._checks = checks
        self._checkpointer = checkpointer
        self.store = Store(connection, unreadable)
        """Reads what is committed and, within the transaction that `begin` began, nothing newer."""

    def counters(self) -> Counters:
        """The highest keys in use, by index look-ups."""
        highest = self._connection.execute(
            "SELECT (SELECT max(tenant_key) FROM tenant), (SELECT max(schedule_key) FROM schedule),"
            " (SELECT max(tracking_key) FROM tracking), max(coalesce((SELECT max(sequence) FROM event), 0),"
            " coalesce((SELECT value FROM meta WHERE name = 'sequence_floor'), 0)),"
            " (SELECT value FROM meta WHERE name = 'epoch')"
        ).get
        return Counters(*(value or 0 for value in highest))

    def begin(self) -> None:
        """Begins the transaction that `commit` or `abandon` ends; one that was left open is abandoned.

        Raises CannotWrite when slad may not write any more.

        Reads by `store` then see one state of the database, and need no locks of their own: a look-up takes
        5 µs instead of 15.
        """
        self.abandon()
        try:
            self._check()
        except MayNotWrite as error:
            raise CannotWrite(error) from error
        self._connection.execute("BEGIN")

    def abandon(self) -> None:
        """Ends a transaction without its writes, if one is open."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def commit(self, batch: Batch) -> None:
        """Makes `batch` durable. Raises CannotWrite, or DAMAGE; then nothing of it is there."""
        connection = self._connection
        batch.complete()
        try:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            try:
                self._write(batch)
            except apsw.BusyError:
                # Litestream has the write lock, or has written to its own tables since `begin`. The rows of
                # slad are as the turn has read them, as nobody else writes those.
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                self._write(batch)
            kill_point(ROWS_WRITTEN)
            self._check()
            connection.execute("COMMIT")
            kill_point(COMMITTED)
        except (apsw.Error, MayNotWrite) as error:
            # Some failures (disk full, I/O) have rolled back by themselves.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, DAMAGE):
                raise
            raise CannotWrite(error, connection.system_errno) from error
        if self._checkpointer is not None:
            self._checkpointer.committed()

    def _check(self) -> None:
        for check in self._checks:
            check()

    def _write(self, batch: Batch) -> None:
        for name, _ in WRITES:
            rows = getattr(batch, name)
            if rows:
                self._execute_all(name, rows)

    def _execute_all(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        of_many = OF_MANY_ROWS[name]
        if len(rows) == 1 or not of_many:
            self._connection.executemany(STATEMENTS[name], rows)
            return
        for place in range(0, len(rows), ROWS_AT_ONCE[-1]):
            some = rows[place : place + ROWS_AT_ONCE[-1]]
            size = next(size for size in ROWS_AT_ONCE if size >= len(some))
            nothing = repeat(None, len(some[0]) * (size - len(some)))
            self._connection.execute(of_many[size], tuple(chain(*some, nothing)))

    def close(self) -> None:
        """Closes the connection; the WAL is folded into the database when it is the last one."""
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._connection.close()
