"""Reading the database. Every query of the hot path is a look-up in an index (see tests/storage)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, Self

import apsw

from slad.core.schedule import Schedule
from slad.core.status import TrackingState
from slad.storage import select, temporal_store
from slad.storage.codec import AuditEntry
from slad.storage.ledger_store import LedgerStore
from slad.storage.reading_connection import ReadingConnection
from slad.storage.row_reader import Record, RowReader, StoredAnswer, StoredEvent, readable
from slad.storage.rows import ConsumerRow, ParkedEventRow, TokenRow
from slad.storage.temporal_store import TemporalStore
from slad.storage.unreadable import Unreadable, UnreadableValues


class Lineage(NamedTuple):
    """Which database it is (a UUID), and which life of it: how often it was restored, or begun as a copy."""

    instance: str = ""
    epoch: int = 0


class SequenceGap(NamedTuple):
    """Sequences that no event has, after a restore: those above `start`, up to and including `end`."""

    start: int
    end: int


class Store(ReadingConnection):
    """The database but for what is Temporal's, and the ledger; used by one thread at a time.

    Raises apsw.Error when the file cannot be read, and Unreadable for a value that is not as it was written.
    What reads many values leaves such ones out.
    """

    def __init__(self, connection: apsw.Connection, unreadable: UnreadableValues | None = None) -> None:
        super().__init__(connection)
        self.unreadable = UnreadableValues() if unreadable is None else unreadable
        """What it could not read."""
        self._read = RowReader(self.tenant_id, self.unreadable)

    def temporal(self) -> TemporalStore:
        """What there is for Temporal, on the same connection."""
        return TemporalStore(self._connection, self._read)

    def ledger(self) -> LedgerStore:
        """What became of each promise, on the same connection."""
        return LedgerStore(self._connection, self._read)

    def snapshot(self) -> Self:
        """Lets all further reads see the database as it is now, until `close`.

        Commits go on meanwhile, but the WAL cannot be reset: not to be held for long.
        """
        self._execute("BEGIN")
        self._execute(select.TENANT_ID, (0,)).fetchone()  # a transaction begins with its first read
        return self

    def begin(self) -> None:
        """Lets the reads up to `end` share a transaction: a look-up then takes 5 µs, not 15."""
        self._execute("BEGIN")

    def end(self) -> None:
        """Ends what `begin` began."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    def latest(self, tenant_key: int, ticket_id: str) -> Record | None:
        """The latest generation of a ticket."""
        return self._tracking(select.LATEST, ticket_id, tenant_key)

    def generation(self, tenant_key: int, ticket_id: str, generation: int) -> Record | None:
        """One generation of a ticket."""
        return self._tracking(select.GENERATION, ticket_id, tenant_key, generation)

    def by_key(self, tracking_key: int) -> Record | None:
        """One tracking by its key."""
        return self._tracking(select.BY_KEY, tracking_key)

    def by_keys(self, tracking_keys: Sequence[int]) -> dict[int, Record]:
        """The trackings with these keys, by key; `by_key` says what is wrong with one that is left out."""
        rows = self._look_up(select.BY_KEYS, [(key,) for key in tracking_keys])
        return {record.tracking_key: record for record in readable(self._read.tracking, rows)}

    def holders(self, ticket_id: str) -> dict[int, bool]:
        """The tenants that have such a ticket, and whether it is live there (M7)."""
        return {tenant_key: bool(live) for tenant_key, live in self._execute(select.HOLDERS, (ticket_id,))}

    def wakes(self, start: int, end: int, limit: int) -> list[tuple[int, int]]:
        """(wake_at, tracking_key) with wake_at in [start, end), the earliest `limit`."""
        return self._rows(select.WAKES, start, end, limit)

    def wakes_of_tenant(self, tenant_key: int, limit: int) -> list[tuple[int, int]]:
        """(wake_at, tracking_key) of a tenant's live tickets, the earliest `limit`. Looks at all of them."""
        return self._rows(select.WAKES_OF_TENANT, tenant_key, limit)

    def tickets_like(
        self, prefix: str, tenant_keys: Sequence[int] | None, limit: int
    ) -> list[tuple[str, int]]:
        """(ticket_id, tenant_key) of the tickets whose ids begin with `prefix`; None: of all tenants."""
        end = prefix + chr(sys.maxunicode)
        if tenant_keys is None:
            return self._rows(select.TICKETS_LIKE, prefix, end, limit)
        return self._rows(select.TICKETS_OF_TENANTS_LIKE, prefix, end, json.dumps(tenant_keys), limit)

    def wakes_at(self, instant: int) -> list[tuple[int, int]]:
        """(wake_at, tracking_key) of all that wake at `instant`."""
        return self._rows(select.WAKES_AT, instant)

    def wake_of(self, tracking_key: int) -> int | None:
        """The stored wake of one tracking; None also when there is no such tracking."""
        return self._number(select.WAKE_OF, tracking_key)

    def answer(self, tenant_id: str, request_id: str) -> StoredAnswer | None:
        """The first answer to a request id, if it is known (M6)."""
        row = self._execute(select.REQUEST, (request_id, tenant_id)).fetchone()
        return self._read.answer(row) if row else None

    def latest_of(self, tickets: Sequence[tuple[int, str]]) -> dict[tuple[int, str], Record | None]:
        """The latest generations of the tickets, by (tenant_key, ticket_id); None for one that has none.

        `latest` says what is wrong with one that is left out.
        """
        found: dict[tuple[int, str], Record | None] = dict.fromkeys(tickets)
        for row in self._look_up(select.LATEST_OF, tickets):
            ticket = row[1], row[2]
            try:
                found[ticket] = self._read.tracking(row)
            except Unreadable:
                del found[ticket]
        return found

    def answers(self, requests: Sequence[tuple[str, str]]) -> dict[tuple[str, str], StoredAnswer | None]:
        """The first answers to the requests, by (tenant_id, request_id); None for one that is not known (M6).

        `answer` says what is wrong with one that is left out.
        """
        found: dict[tuple[str, str], StoredAnswer | None] = dict.fromkeys(requests)
        for row in self._look_up(select.ANSWERS, requests):
            request = row[0], row[1]
            try:
                found[request] = self._read.answer(row)
            except Unreadable:
                del found[request]
        return found

    def events_after(self, sequence: int, limit: int, max_bytes: int | None = None) -> list[StoredEvent]:
        """The next `limit` events after `sequence`, in order (E2); fewer when they have `max_bytes`."""
        found: list[StoredEvent] = []
        while len(found) < limit:
            left = limit - len(found)
            rows = list(_up_to(max_bytes, self._execute(select.EVENTS, (sequence, left))))
            found += readable(self._read.event, rows)
            if len(rows) < left and (found or not rows):
                break
            sequence = rows[-1][0]
        return found

    def events_of(self, tracking_key: int) -> list[StoredEvent]:
        """The retained events of one tracking, in order."""
        return list(readable(self._read.event, self._execute(select.EVENTS_OF, (tracking_key,))))

    def oldest_requests(self, limit: int) -> list[tuple[int, int]]:
        """(request_key, recorded_at) of the oldest answers."""
        return self._rows(select.OLDEST_REQUESTS, limit)

    def oldest_event(self) -> int | None:
        """The sequence of the oldest retained event."""
        return self._number(select.OLDEST_EVENT)

    def nth_newest_event(self, n: int) -> int | None:
        """The sequence that has `n` newer events. Counts them."""
        return self._number(select.NTH_NEWEST_EVENT, n)

    def open_tickets(self) -> tuple[int, int]:
        """How many tickets are neither completed nor cancelled, and how many have a timer. Counts them."""
        ((total, with_timer),) = self._rows(select.OPEN_TICKETS, TrackingState.ACTIVE)
        return total, with_timer

    def events_owed(self, sequence: int) -> int:
        """How many events there are after `sequence`. Counts them."""
        return int(self._value(select.EVENTS_OWED, sequence))

    def is_empty(self) -> bool:
        """Whether there has never been a tracking, or all are removed."""
        return not self._value(select.HAS_TRACKINGS)

    def newest_audit(self) -> int | None:
        """When the last command was carried out, UTC epoch ms."""
        return self._number(select.NEWEST_AUDIT)

    def known_until(self) -> int | None:
        """Every command acknowledged before this instant (UTC epoch ms) is here; None: none ever was."""
        heartbeat = self.meta("heartbeat")
        return max((at for at in (heartbeat, self.newest_audit()) if isinstance(at, int)), default=None)

    def sequence_gap(self) -> SequenceGap | None:
        """The sequences that the last restore left out, if there was one."""
        floor = self.meta("sequence_floor")
        if not isinstance(floor, int):
            return None
        return SequenceGap(self._number(select.NEWEST_EVENT_UP_TO, floor) or 0, floor)

    def lineage(self) -> Lineage:
        """Which database this is, and which life of it."""
        return Lineage(str(self.meta("instance") or ""), int(self.meta("epoch") or 0))

    def free_bytes(self) -> int:
        """What of the file is free and will be used again."""
        size: int = self._connection.pragma("freelist_count") * self._connection.pragma("page_size")
        return size

    def meta(self, name: str) -> str | int | None:
        """What slad has noted about the database as a whole."""
        value: str | int | None = self._value(select.META, name)
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
        query = "SELECT name, acknowledged, created_at, acknowledged_at, tenants FROM consumer ORDER BY name"
        return [ConsumerRow(*row) for row in self._execute(query)]

    def tokens(self) -> list[TokenRow]:
        """All tokens, also those that are revoked, in the order of their creation."""
        rows = self._execute("SELECT * FROM token ORDER BY created_at, token_id")
        return [TokenRow(*row) for row in rows]

    def parked_events(self, consumer: str, after: int, limit: int) -> list[ParkedEventRow]:
        """The next events parked for a consumer after a sequence, in order."""
        rows = self._execute(select.PARKED_EVENTS, (consumer, after, limit))
        return list(readable(self._read.parked_event, rows))

    def parked_events_of(
        self, consumer: str, tenant_id: str, ticket_id: str, limit: int
    ) -> list[ParkedEventRow]:
        """The first events parked for a consumer that are of one ticket, in order, up to one that is damaged.

        Raises Unreadable when that is the first: what follows has to wait for it.
        """
        found: list[ParkedEventRow] = []
        for row in self._execute(select.PARKED_EVENTS_OF, (consumer, tenant_id, ticket_id, limit)):
            try:
                found.append(self._read.parked_event(row))
            except Unreadable:
                if not found:
                    raise
                break
        return found

    def parked_tickets(self, consumer: str) -> list[tuple[str, str, int, int]]:
        """(tenant_id, ticket_id, sequence, released) of all that is parked for a consumer."""
        return self._rows(select.PARKED_TICKETS, consumer)

    def audit_of(self, tracking_key: int) -> list[tuple[int, AuditEntry]]:
        """(recorded_at, entry) of the commands of one tracking, in order."""
        return list(readable(self._read.audit, self._execute(select.AUDIT_OF, (tracking_key,))))

    def schedule(self, schedule_key: int) -> Schedule | None:
        """A stored schedule."""
        row = self._execute(select.SCHEDULE, (schedule_key,)).fetchone()
        return self._read.schedule(row) if row else None

    def schedules(self) -> Iterator[Schedule]:
        """All stored schedules that can be read."""
        return readable(self._read.schedule, self._execute(select.ALL_SCHEDULES))

    def unreadable_values(self) -> Iterator[Unreadable]:
        """Reads every stored value; those that cannot be read.

        A ticket whose schedule cannot be read, or is not there, cannot be read either.
        """
        schedules = {0}
        read: Callable[[Any], Any]
        for query, read in (
            (select.ALL_SCHEDULES, self._read.schedule),
            (select.ALL_TRACKINGS, self._read.tracking),
            (select.ALL_EVENTS, self._read.event),
            (select.ALL_REQUESTS, self._read.answer),
            (select.ALL_AUDIT, self._read.audit),
            (select.ALL_PARKED_EVENTS, self._read.parked_event),
            (temporal_store.ALL_MESSAGES, self._read.message),
        ):
            for row in self._execute(query):
                try:
                    value = read(row)
                    if query == select.ALL_SCHEDULES:
                        schedules.add(row[0])
                    if isinstance(value, Record) and not value.tracking.terms.schedule_keys <= schedules:
                        what = f"generation {value.generation} of ticket {value.ticket_id!r}"
                        raise self._read.failure("tracking", row[0], what, "its schedule cannot be read")
                except Unreadable as error:
                    yield error

    def schedule_key(self, digest: bytes) -> int | None:
        """The key of the schedule with this content."""
        return self._number(select.SCHEDULE_KEY, digest)

    def tenant_key(self, tenant_id: str) -> int | None:
        """The key of a tenant."""
        return self._number(select.TENANT_KEY, tenant_id)

    def tenant_keys(self, first: int, limit: int) -> list[int]:
        """The keys of the next tenants from `first` on, ascending."""
        return [key for (key,) in self._execute(select.TENANT_KEYS, (first, limit))]

    def tenant_id(self, tenant_key: int) -> str | None:
        """The name of a tenant."""
        value: str | None = self._value(select.TENANT_ID, tenant_key)
        return value

    def of_tenant(
        self, tenant_key: int, state: TrackingState, after_key: int, limit: int
    ) -> Iterator[Record]:
        """Trackings of a tenant in one state, in the order of their creation."""
        return self._walk(select.OF_TENANT, (tenant_key, state), after_key, limit)

    def of_all(self, after_key: int, limit: int) -> Iterator[Record]:
        """Trackings of all tenants, in the order of their creation."""
        return self._walk(select.OF_ALL, (), after_key, limit)

    def _walk(self, query: str, bindings: tuple[int, ...], after_key: int, limit: int) -> Iterator[Record]:
        """The next `limit` trackings that can be read; fewer only at the end."""
        while limit:
            asked, seen = limit, 0
            for row in self._execute(query, (*bindings, after_key, asked)):
                seen, after_key = seen + 1, row[0]
                for record in readable(self._read.tracking, [row]):
                    limit -= 1
                    yield record
            if seen < asked:
                return

    def _look_up(self, queries: dict[int, str], wanted: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        for place in range(0, len(wanted), select.AT_ONCE[-1]):
            keys = wanted[place : place + select.AT_ONCE[-1]]
            size = next(size for size in select.AT_ONCE if size >= len(keys))
            nothing = (None,) * (len(keys[0]) * (size - len(keys)))
            yield from self._execute(queries[size], (*chain.from_iterable(keys), *nothing))

    def _tracking(self, query: str, *bindings: int | str) -> Record | None:
        row = self._execute(query, bindings).fetchone()
        return self._read.tracking(row) if row else None


def _up_to(max_bytes: int | None, rows: Iterator[Any]) -> Iterator[Any]:
    """The rows of events whose bodies have so many bytes together, one at least."""
    size = 0
    for row in rows:
        yield row
        size += len(row[3])
        if max_bytes is not None and size >= max_bytes:
            return
