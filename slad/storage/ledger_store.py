"""Reading the ledger: the last revisions of a tracking, what a report counts, what is old (A1–A5, A7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import apsw
import msgspec

from slad.core.ledger import EntryKey, LedgerEntry, Revision, Verdict
from slad.core.tracking import TicketRef
from slad.storage import select
from slad.storage.codec import AuditEntry
from slad.storage.reading_connection import ReadingConnection
from slad.storage.row_reader import RowReader, readable
from slad.storage.rows import LedgerRow

_ENTRY_COLUMNS: Final = (
    "clock, cycle_key, cycle, opened_at, policy_id, priority_id, owner, due_at, closed_at, target_ms,"
    " elapsed_ms, paused_ms, paused_by, verdict, reported_met, reason_code, note, excused"
)

KNOWN: Final = (
    f"SELECT revision, recorded_at, {_ENTRY_COLUMNS} FROM ledger AS l"
    " WHERE tracking_key = ? AND (closed_at >= ? OR verdict = 4)"
    " AND NOT EXISTS (SELECT 1 FROM ledger AS later"
    " WHERE later.tracking_key = l.tracking_key AND later.clock = l.clock AND later.cycle_key = l.cycle_key"
    " AND later.revision > l.revision AND later.revision > 1)"
)
OLD: Final = "SELECT entry_key FROM tenant CROSS JOIN ledger USING (tenant_key) WHERE recorded_at < ? LIMIT ?"
LAST_AUDIT_UP_TO: Final = (
    # From the newest back, as those after an instant are few, mostly.
    "SELECT audit_key FROM audit WHERE recorded_at <= ? ORDER BY audit_key DESC LIMIT 1"
)
HAS_AUDIT_UP_TO: Final = "SELECT EXISTS (SELECT 1 FROM audit WHERE tracking_key = ? AND audit_key <= ?)"
ENDED_AFTER: Final = (
    "SELECT DISTINCT tracking_key FROM audit NOT INDEXED CROSS JOIN tracking USING (tracking_key)"
    " WHERE audit_key > ? AND tenant_key = ? AND state <> 1 ORDER BY tracking_key"
)
KEYS_DOWN_FROM: Final = (
    "SELECT tracking_key FROM tracking WHERE tracking_key <= ? ORDER BY tracking_key DESC LIMIT ?"
)

_WITH_VERDICT: Final = "verdict IN (1, 2)"


class Period(NamedTuple):
    """The cycles that a report looks at. Instants in UTC epoch ms."""

    tenant_key: int
    column: str
    """Which instant of a cycle counts: `due_at`, `closed_at` or `opened_at`."""
    from_ms: int
    to_ms: int
    as_of: int
    clocks: tuple[str, ...]
    """By name; empty: all."""

    @property
    def condition(self) -> str:
        """As SQL about `l`, with bindings by name."""
        recorded = "recorded_at <= :as_of"
        if self.column != "due_at":
            # Nothing is recorded before it has happened.
            recorded = f"recorded_at >= :from_ms AND {recorded}"
        clocks = f" AND clock IN ({', '.join(f':clock{place}' for place in range(len(self.clocks)))})"
        return (
            f"tenant_key = :tenant_key AND {self.column} >= :from_ms AND {self.column} < :to_ms"
            f" AND {recorded} AND verdict <> 4{clocks if self.clocks else ''}"
            " AND NOT EXISTS (SELECT 1 FROM ledger AS later"
            " WHERE later.tracking_key = l.tracking_key AND later.clock = l.clock"
            " AND later.cycle_key = l.cycle_key AND later.revision > l.revision"
            " AND later.revision > 1 AND later.recorded_at <= :as_of)"
        )

    @property
    def bindings(self) -> dict[str, Any]:
        """The values that go with it."""
        clocks = {f"clock{place}": name for place, name in enumerate(self.clocks)}
        return {
            "tenant_key": self.tenant_key,
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "as_of": self.as_of,
            **clocks,
        }


class Grouping(NamedTuple):
    """SQL expressions about a row of the ledger, one for each value of a group, and their bindings."""

    expressions: tuple[str, ...] = ()
    bindings: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default

    def columns(self) -> str:
        """The values as columns `g0`, `g1` …, each with a comma behind it."""
        return "".join(f"{expression} AS g{place}, " for place, expression in enumerate(self.expressions))

    def names(self) -> str:
        """The names of these columns, likewise."""
        return "".join(f"g{place}, " for place in range(len(self.expressions)))


class Sums(NamedTuple):
    """What the closed cycles of a group amount to."""

    group: tuple[Any, ...]
    met: int
    missed: int
    missed_excused: int
    none: int
    elapsed_p50: int | None
    elapsed_p90: int | None
    elapsed_max: int | None
    elapsed: int
    paused: int


class StoredEntry(NamedTuple):
    """A row of the ledger, as it is told."""

    ticket: TicketRef
    attributes: dict[str, str]
    revision: Revision
    tzdata: str


class LedgerStore(ReadingConnection):
    """The ledger; used by one thread at a time."""

    def __init__(self, connection: apsw.Connection, read: RowReader) -> None:
        super().__init__(connection)
        self._read = read

    def known(self, tracking_key: int, since: int) -> dict[EntryKey, Revision]:
        """The last revisions of a tracking: of what closed at `since` (UTC epoch ms) or later, or is VOID."""
        found = {}
        for number, recorded_at, *columns in self._execute(KNOWN, (tracking_key, since)):
            entry = entry_of(columns)
            found[entry.key] = Revision(entry, number, recorded_at)
        return found

    def sums(self, period: Period, grouping: Grouping) -> list[Sums]:
        """What the cycles of a period amount to, by group. Percentiles are nearest ranks."""
        by = f" GROUP BY {grouping.names().removesuffix(', ')}" if grouping.expressions else ""
        judged = f"FILTER (WHERE {_WITH_VERDICT})"
        query = (
            f"SELECT {grouping.columns()}sum(verdict = 1), sum(verdict = 2), sum(verdict = 2 AND excused),"
            f" sum(verdict = 3), percentile_disc(elapsed_ms, 0.5) {judged},"
            # SQLite takes place floor(p * (n - 1)), which for tenths is the nearest rank from one side each.
            f" CASE WHEN sum({_WITH_VERDICT}) % 10 = 0 THEN percentile_disc(elapsed_ms, 0.9) {judged}"
            f" ELSE -percentile_disc(-elapsed_ms, 0.1) {judged} END, max(elapsed_ms) {judged},"
            f" total(elapsed_ms) {judged}, total(paused_ms) {judged}"
            f" FROM ledger AS l WHERE {period.condition}{by}"
        )
        size = len(grouping.expressions)
        return [
            Sums(row[:size], *row[size : size + 4], *map(_whole, row[size + 4 :]))
            for row in self._execute(query, period.bindings | grouping.bindings)
            if row[size] is not None
        ]

    def paused_by(self, period: Period, grouping: Grouping) -> list[tuple[tuple[Any, ...], str, int]]:
        """(group, reason, open ms that pauses for it took of the cycles with a verdict)."""
        size = len(grouping.expressions)
        query = (
            f"SELECT {grouping.columns()}key, sum(value) FROM ledger AS l, json_each(paused_by)"
            f" WHERE {period.condition} AND paused_by IS NOT NULL AND {_WITH_VERDICT}"
            f" GROUP BY {grouping.names()}key"
        )
        rows = self._execute(query, period.bindings | grouping.bindings)
        return [(row[:size], row[size], row[size + 1]) for row in rows]

    def entry_keys(
        self, period: Period, grouping: Grouping, group: Sequence[Any] | None, figures: str
    ) -> list[int]:
        """The keys of the rows that a report counts, in the order of their instants.

        Those of one `group`, if it is given, and for which the SQL `figures` is true.
        """
        chosen, bindings = "", {}
        if group is not None:
            chosen = "".join(f" AND {e} = :chosen{n}" for n, e in enumerate(grouping.expressions))
            bindings = {f"chosen{place}": value for place, value in enumerate(group)}
        query = (
            f"SELECT entry_key FROM ledger AS l WHERE {period.condition}{chosen} AND ({figures})"
            f" ORDER BY {period.column}, entry_key"
        )
        rows = self._execute(query, period.bindings | grouping.bindings | bindings)
        return [key for (key,) in rows]

    def entries(self, keys: Sequence[int], tenant_id: str) -> Iterator[StoredEntry]:
        """The rows with these keys, in that order; some hundreds at a time."""
        query = (
            "SELECT entry_key, ticket_id, generation, attributes, tzdata, revision, recorded_at,"
            f" {_ENTRY_COLUMNS} FROM ledger WHERE entry_key IN ({', '.join('?' * len(keys))})"
        )
        rows = {row[0]: row for row in self._execute(query, tuple(keys))}
        for key in keys:
            if key in rows:  # not removed since
                _, ticket_id, generation, attributes, tzdata, revision, recorded_at, *columns = rows[key]
                yield StoredEntry(
                    TicketRef(tenant_id, ticket_id, generation),
                    _TEXTS.decode(attributes) if attributes else {},
                    Revision(entry_of(columns), revision, recorded_at),
                    tzdata,
                )

    def old(self, before: int, limit: int) -> list[int]:
        """Keys of rows that were recorded before an instant (UTC epoch ms)."""
        return [key for (key,) in self._execute(OLD, (before, limit))]

    # --- what was known earlier (A5)

    def last_audit(self, as_of: int) -> int:
        """The key of the last command that was carried out by `as_of` (UTC epoch ms); 0: none."""
        return self._number(LAST_AUDIT_UP_TO, as_of) or 0

    def audit_after(self, tracking_key: int, audit_key: int) -> list[tuple[int, AuditEntry]]:
        """(recorded_at, entry) of the commands of a tracking after another one, the newest first."""
        return list(readable(self._read.audit, self._execute(select.AUDIT_AFTER, (tracking_key, audit_key))))

    def was_there(self, tracking_key: int, audit_key: int) -> bool:
        """Whether a tracking had been made by the time of a command."""
        return bool(self._value(HAS_AUDIT_UP_TO, tracking_key, audit_key))

    def ended_after(self, tenant_key: int, audit_key: int) -> list[int]:
        """The trackings of a tenant that have ended, and had a command after another one."""
        return [key for (key,) in self._execute(ENDED_AFTER, (audit_key, tenant_key))]

    def keys_down_from(self, tracking_key: int, limit: int) -> list[int]:
        """The keys of trackings from one down."""
        return [key for (key,) in self._execute(KEYS_DOWN_FROM, (tracking_key, limit))]


def row_of(
    revision: Revision,
    tracking_key: int,
    tenant_key: int,
    ticket_id: str,
    generation: int,
    attributes: dict[str, str],
    tzdata: str,
) -> LedgerRow:
    """What is stored of a revision of a closed cycle."""
    *cycle, paused_by, verdict, reported_met, reason_code, note, excused = revision.entry
    assert verdict is not None
    return LedgerRow._make(
        [
            tracking_key,
            tenant_key,
            ticket_id,
            generation,
            revision.number,
            revision.recorded_at,
            _text(attributes),
            tzdata,
            *cycle,
            _text(paused_by),
            verdict.value,
            None if reported_met is None else int(reported_met),
            reason_code,
            note,
            int(excused),
        ]
    )


def entry_of(columns: Sequence[Any]) -> LedgerEntry:
    """The entry that a row holds."""
    *cycle, paused_by, verdict, reported_met, reason_code, note, excused = columns
    return LedgerEntry._make(
        [
            *cycle,
            _SPANS.decode(paused_by) if paused_by else {},
            Verdict(verdict),
            None if reported_met is None else bool(reported_met),
            reason_code,
            note,
            bool(excused),
        ]
    )


_SPANS: Final = msgspec.json.Decoder(dict[str, int])
_TEXTS: Final = msgspec.json.Decoder(dict[str, str])


def _whole(number: Any) -> Any:
    """SQLite's percentiles and totals are floats, exact up to 2**53."""
    return None if number is None else int(number)


def _text(values: Any) -> str | None:
    return msgspec.json.encode(values).decode() if values else None
