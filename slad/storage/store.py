"""Reading the database. Every query of the hot path is a look-up in an index (see tests/storage)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final, NamedTuple, Self

import apsw
import msgspec

from slad.core.status import TrackingState
from slad.core.tracking import Tracking
from slad.storage.codec import AuditEntry, decode_audit, decode_tracking
from slad.storage.rows import ConsumerRow, ParkedEventRow, TokenRow
from slad.storage.temporal_store import TemporalStore


class Record(NamedTuple):
    """One generation as it is stored."""

    tracking_key: int
    tenant_key: int
    ticket_id: str
    generation: int
    state: TrackingState
    wake_at: int | None
    tracking: Tracking


class StoredEvent(NamedTuple):
    """One event of the event log; `body` is a serialized `slad.v1.SlaEvent`."""

    sequence: int
    tenant_key: int
    type: int
    body: bytes


class SequenceGap(NamedTuple):
    """Sequences that no event has, after a restore: those above `start`, up to and including `end`."""

    start: int
    end: int


class StoredAnswer(NamedTuple):
    """The first answer to a request id."""

    fingerprint: bytes
    answer: bytes


_COLUMNS: Final = "tracking_key, tenant_key, ticket_id, generation, state, wake_at, body"

LATEST: Final = (
    f"SELECT {_COLUMNS} FROM tracking WHERE ticket_id = ? AND tenant_key = ? ORDER BY generation DESC LIMIT 1"
)
GENERATION: Final = (
    f"SELECT {_COLUMNS} FROM tracking WHERE ticket_id = ? AND tenant_key = ? AND generation = ?"
)
BY_KEY: Final = f"SELECT {_COLUMNS} FROM tracking WHERE tracking_key = ?"
HOLDERS: Final = "SELECT tenant_key, max(state = 1) FROM tracking WHERE ticket_id = ? GROUP BY tenant_key"
WAKES: Final = (
    "SELECT wake_at, tracking_key FROM tracking WHERE wake_at >= ? AND wake_at < ? ORDER BY wake_at LIMIT ?"
)
WAKES_AT: Final = "SELECT wake_at, tracking_key FROM tracking WHERE wake_at = ?"
WAKE_OF: Final = "SELECT wake_at FROM tracking WHERE tracking_key = ?"
REQUEST: Final = "SELECT fingerprint, answer FROM request WHERE request_id = ? AND tenant_id = ?"
EVENTS: Final = (
    "SELECT sequence, tenant_key, type, body FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?"
)
EVENTS_OF: Final = (
    "SELECT sequence, tenant_key, type, body FROM event WHERE tracking_key = ? ORDER BY sequence"
)
SCHEDULE: Final = "SELECT body FROM schedule WHERE schedule_key = ?"
SCHEDULE_KEY: Final = "SELECT schedule_key FROM schedule WHERE digest = ?"
TENANT_KEY: Final = "SELECT tenant_key FROM tenant WHERE tenant_id = ?"
TENANT_ID: Final = "SELECT tenant_id FROM tenant WHERE tenant_key = ?"
OF_TENANT: Final = (
    f"SELECT {_COLUMNS} FROM tracking WHERE tenant_key = ? AND state = ? AND tracking_key > ?"
    " ORDER BY tracking_key LIMIT ?"
)
OF_ALL: Final = f"SELECT {_COLUMNS} FROM tracking WHERE tracking_key > ? ORDER BY tracking_key LIMIT ?"
OLDEST_REQUESTS: Final = "SELECT request_key, recorded_at FROM request ORDER BY request_key LIMIT ?"
OLDEST_EVENT: Final = "SELECT min(sequence) FROM event"
NEWEST_EVENT_UP_TO: Final = "SELECT max(sequence) FROM event WHERE sequence <= ?"
NTH_NEWEST_EVENT: Final = "SELECT sequence FROM event ORDER BY sequence DESC LIMIT 1 OFFSET ?"
EVENTS_OWED: Final = "SELECT count(*) FROM event WHERE sequence > ?"
NEWEST_AUDIT: Final = "SELECT recorded_at FROM audit WHERE audit_key = (SELECT max(audit_key) FROM audit)"
_PARKED_EVENT: Final = (
    "SELECT consumer, sequence, tenant_id, ticket_id, parked_at, attempts, reason, released, body"
    " FROM parked_event"
)
PARKED_EVENTS: Final = f"{_PARKED_EVENT} WHERE consumer = ? AND sequence > ? ORDER BY sequence LIMIT ?"
PARKED_EVENTS_OF: Final = (
    f"{_PARKED_EVENT} WHERE consumer = ? AND tenant_id = ? AND ticket_id = ? ORDER BY sequence LIMIT ?"
)
PARKED_TICKETS: Final = (
    "SELECT tenant_id, ticket_id, sequence, released FROM parked_event WHERE consumer = ?"
    " ORDER BY tenant_id, ticket_id, sequence"
)
META: Final = "SELECT value FROM meta WHERE name = ?"
AUDIT_OF: Final = "SELECT recorded_at, body FROM audit WHERE tracking_key = ? ORDER BY audit_key"


AT_ONCE: Final = (8, 32, 128)
"""Keys that one look-up of many takes; it is filled up with keys of nothing."""

LATEST_OF: Final = {
    size: f"WITH wanted(tenant_key, ticket_id) AS (VALUES {', '.join(['(?, ?)'] * size)})"
    f" SELECT {_COLUMNS} FROM wanted CROSS JOIN tracking USING (ticket_id, tenant_key)"
    " WHERE generation = (SELECT max(generation) FROM tracking AS other"
    " WHERE other.ticket_id = wanted.ticket_id AND other.tenant_key = wanted.tenant_key)"
    for size in AT_ONCE
}
ANSWERS: Final = {
    size: f"WITH wanted(tenant_id, request_id) AS (VALUES {', '.join(['(?, ?)'] * size)})"
    " SELECT tenant_id, request_id, fingerprint, answer"
    " FROM wanted CROSS JOIN request USING (request_id, tenant_id)"
    for size in AT_ONCE
}

BY_KEYS: Final = {
    size: f"SELECT {_COLUMNS} FROM tracking WHERE tracking_key IN ({', '.join(['?'] * size)})"
    for size in AT_ONCE
}


class Store:
    """A reading connection; used by one thread at a time. Raises apsw.Error when the file cannot be read."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._connection = connection

    def temporal(self) -> TemporalStore:
        """What there is for Temporal, on the same connection."""
        return TemporalStore(self._connection)

    def snapshot(self) -> Self:
        """Lets all further reads see the database as it is now, until `close`.

        Commits go on meanwhile, but the WAL cannot be reset: not to be held for long.
        """
        self._execute("BEGIN")
        self._execute(TENANT_ID, (0,)).fetchone()  # a transaction begins with its first read
        return self

    def begin(self) -> None:
        """Lets the reads up to `end` share a transaction: a look-up then takes 5 µs, not 15."""
        self._execute("BEGIN")

    def end(self) -> None:
        """Ends what `begin` began."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def latest(self, tenant_key: int, ticket_id: str) -> Record | None:
        """The latest generation of a ticket."""
        return _record(self._execute(LATEST, (ticket_id, tenant_key)).fetchone())

    def generation(self, tenant_key: int, ticket_id: str, generation: int) -> Record | None:
        """One generation of a ticket."""
        return _record(self._execute(GENERATION, (ticket_id, tenant_key, generation)).fetchone())

    def by_key(self, tracking_key: int) -> Record | None:
        """One tracking by its key."""
        return _record(self._execute(BY_KEY, (tracking_key,)).fetchone())

    def by_keys(self, tracking_keys: Sequence[int]) -> dict[int, Record]:
        """The trackings with these keys, by key, that can be read.

        One whose body cannot be decoded is left out, so that it hides no other; `by_key` says what is wrong.
        """
        found = {}
        for row in self._look_up(BY_KEYS, [(key,) for key in tracking_keys]):
            with suppress(msgspec.DecodeError, ValueError):
                found[row[0]] = _decoded(row)
        return found

    def holders(self, ticket_id: str) -> dict[int, bool]:
        """The tenants that have such a ticket, and whether it is live there (M7)."""
        return {tenant_key: bool(live) for tenant_key, live in self._execute(HOLDERS, (ticket_id,))}

    def wakes(self, start: int, end: int, limit: int) -> list[tuple[int, int]]:
        """(wake_at, tracking_key) with wake_at in [start, end), the earliest `limit`."""
        rows: list[Any] = self._execute(WAKES, (start, end, limit)).fetchall()
        return rows

    def wakes_at(self, instant: int) -> list[tuple[int, int]]:
        """(wake_at, tracking_key) of all that wake at `instant`."""
        rows: list[Any] = self._execute(WAKES_AT, (instant,)).fetchall()
        return rows

    def wake_of(self, tracking_key: int) -> int | None:
        """The stored wake of one tracking; None also when there is no such tracking."""
        row = self._execute(WAKE_OF, (tracking_key,)).fetchone()
        return row[0] if row else None

    def answer(self, tenant_id: str, request_id: str) -> StoredAnswer | None:
        """The first answer to a request id, if it is known (M6)."""
        row = self._execute(REQUEST, (request_id, tenant_id)).fetchone()
        return StoredAnswer(*row) if row else None

    def latest_of(self, tickets: Sequence[tuple[int, str]]) -> dict[tuple[int, str], Record]:
        """The latest generations of the tickets, by (tenant_key, ticket_id), that have any."""
        records = [_decoded(row) for row in self._look_up(LATEST_OF, tickets)]
        return {(record.tenant_key, record.ticket_id): record for record in records}

    def answers(self, requests: Sequence[tuple[str, str]]) -> dict[tuple[str, str], StoredAnswer]:
        """The first answers to the requests, by (tenant_id, request_id), that are known (M6)."""
        return {(row[0], row[1]): StoredAnswer(*row[2:]) for row in self._look_up(ANSWERS, requests)}

    def events_after(self, sequence: int, limit: int) -> list[StoredEvent]:
        """The next `limit` events after `sequence`, in order (E2)."""
        return [StoredEvent(*row) for row in self._execute(EVENTS, (sequence, limit))]

    def events_of(self, tracking_key: int) -> list[StoredEvent]:
        """The retained events of one tracking, in order."""
        return [StoredEvent(*row) for row in self._execute(EVENTS_OF, (tracking_key,))]

    def oldest_requests(self, limit: int) -> list[tuple[int, int]]:
        """(request_key, recorded_at) of the oldest answers."""
        rows: list[Any] = self._execute(OLDEST_REQUESTS, (limit,)).fetchall()
        return rows

    def oldest_event(self) -> int | None:
        """The sequence of the oldest retained event."""
        sequence: int | None = self._scalar(OLDEST_EVENT)
        return sequence

    def nth_newest_event(self, n: int) -> int | None:
        """The sequence that has `n` newer events. Counts them."""
        sequence: int | None = self._scalar(NTH_NEWEST_EVENT, n)
        return sequence

    def events_owed(self, sequence: int) -> int:
        """How many events there are after `sequence`. Counts them."""
        count: int = self._scalar(EVENTS_OWED, sequence)
        return count

    def newest_audit(self) -> int | None:
        """When the last command was carried out, UTC epoch ms."""
        instant: int | None = self._scalar(NEWEST_AUDIT)
        return instant

    def sequence_gap(self) -> SequenceGap | None:
        """The sequences that the last restore left out, if there was one."""
        floor = self.meta("sequence_floor")
        if not isinstance(floor, int):
            return None
        return SequenceGap(self._scalar(NEWEST_EVENT_UP_TO, floor) or 0, floor)

    def free_bytes(self) -> int:
        """What of the file is free and will be used again."""
        size: int = self._connection.pragma("freelist_count") * self._connection.pragma("page_size")
        return size

    def meta(self, name: str) -> str | int | None:
        """What slad has noted about the database as a whole."""
        value: str | int | None = self._scalar(META, name)
        return value

    def schema_version(self) -> int:
        """The number of the last migration."""
        number: int = self._connection.pragma("user_version")
        return number

    def complaints(self) -> list[str]:
        """What SQLite finds wrong with the file, having read all of it; empty: nothing."""
        found = [str(row[0]) for row in self._execute("PRAGMA integrity_check(5)")]
        return [] if found == ["ok"] else found

    def consumers(self) -> list[ConsumerRow]:
        """All registered consumers."""
        return [
            ConsumerRow(*row)
            for row in self._execute(
                "SELECT name, acknowledged, created_at, acknowledged_at, tenants FROM consumer ORDER BY name"
            )
        ]

    def tokens(self) -> list[TokenRow]:
        """All tokens, also those that are revoked, in the order of their creation."""
        rows = self._execute("SELECT * FROM token ORDER BY created_at, token_id")
        return [TokenRow(*row) for row in rows]

    def parked_events(self, consumer: str, after: int, limit: int) -> list[ParkedEventRow]:
        """The next events parked for a consumer after a sequence, in order."""
        return [ParkedEventRow(*row) for row in self._execute(PARKED_EVENTS, (consumer, after, limit))]

    def parked_events_of(
        self, consumer: str, tenant_id: str, ticket_id: str, limit: int
    ) -> list[ParkedEventRow]:
        """The first events parked for a consumer that are of one ticket, in order."""
        bindings = (consumer, tenant_id, ticket_id, limit)
        return [ParkedEventRow(*row) for row in self._execute(PARKED_EVENTS_OF, bindings)]

    def parked_tickets(self, consumer: str) -> list[tuple[str, str, int, int]]:
        """(tenant_id, ticket_id, sequence, released) of all that is parked for a consumer."""
        rows: list[Any] = self._execute(PARKED_TICKETS, (consumer,)).fetchall()
        return rows

    def audit_of(self, tracking_key: int) -> list[tuple[int, AuditEntry]]:
        """(recorded_at, entry) of the commands of one tracking, in order."""
        return [(at, decode_audit(body)) for at, body in self._execute(AUDIT_OF, (tracking_key,))]

    def schedule_body(self, schedule_key: int) -> bytes | None:
        """The stored form of a schedule."""
        value: bytes | None = self._scalar(SCHEDULE, schedule_key)
        return value

    def schedule_key(self, digest: bytes) -> int | None:
        """The key of the schedule with this content."""
        value: int | None = self._scalar(SCHEDULE_KEY, digest)
        return value

    def tenant_key(self, tenant_id: str) -> int | None:
        """The key of a tenant."""
        value: int | None = self._scalar(TENANT_KEY, tenant_id)
        return value

    def tenant_id(self, tenant_key: int) -> str | None:
        """The name of a tenant."""
        value: str | None = self._scalar(TENANT_ID, tenant_key)
        return value

    def of_tenant(
        self, tenant_key: int, state: TrackingState, after_key: int, limit: int
    ) -> Iterator[Record]:
        """Trackings of a tenant in one state, in the order of their creation."""
        for row in self._execute(OF_TENANT, (tenant_key, state, after_key, limit)):
            yield _decoded(row)

    def of_all(self, after_key: int, limit: int) -> Iterator[Record]:
        """Trackings of all tenants, in the order of their creation."""
        for row in self._execute(OF_ALL, (after_key, limit)):
            yield _decoded(row)

    def _look_up(self, queries: dict[int, str], wanted: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        for place in range(0, len(wanted), AT_ONCE[-1]):
            keys = wanted[place : place + AT_ONCE[-1]]
            size = next(size for size in AT_ONCE if size >= len(keys))
            nothing = (None,) * (len(keys[0]) * (size - len(keys)))
            yield from self._execute(queries[size], (*chain.from_iterable(keys), *nothing))

    def _scalar(self, query: str, *bindings: int | str | bytes) -> Any:
        row = self._execute(query, bindings).fetchone()
        return row[0] if row else None


def _record(row: Any) -> Record | None:
    return _decoded(row) if row else None


def _decoded(row: Any) -> Record:
    tracking_key, tenant_key, ticket_id, generation, state, wake_at, body = row
    return Record(
        tracking_key, tenant_key, ticket_id, generation, TrackingState(state), wake_at, decode_tracking(body)
    )
