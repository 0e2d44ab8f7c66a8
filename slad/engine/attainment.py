"""What share of promises was kept (A4, A5).

What has closed is counted in the ledger, by SQL. What is open is derived from the trackings, as they were
known at the instant of the report. A report is made in pieces (see `Attainment`), so that other queries come
in between.

Instants are UTC epoch ms, spans ms of open time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from slad.core import machine
from slad.core.ledger import LedgerEntry, Verdict, entry_of, overdue_cycles
from slad.core.reading import ClockReading
from slad.core.status import TrackingState
from slad.core.tracking import TicketRef, Tracking
from slad.core.undo import undone
from slad.engine.catalog import Catalog
from slad.engine.giving_way import giving_way
from slad.engine.grouping import COLUMNS, Group, GroupKeys, ReportBy, ReportQuery
from slad.storage.ledger_store import Grouping, LedgerStore, Period, StoredEntry, Sums
from slad.storage.row_reader import Record
from slad.storage.store import Store
from slad.storage.unreadable import Unreadable

PAGE: Final = 256
"""Open trackings that are read at once."""


class Figure(IntEnum):
    """The figures that count cycles (A4). Numbers of the wire contract."""

    MET = 1
    MISSED = 2
    MISSED_EXCUSED = 3
    NONE = 4
    OPEN_OVERDUE = 5
    OPEN_IN_TIME = 6


class OpenCycle(NamedTuple):
    """An open cycle, as it was known at an instant."""

    ticket: TicketRef
    tracking: Tracking
    clock: ClockReading
    entry: LedgerEntry

    @property
    def is_overdue(self) -> bool:
        """Whether it is past 100 %."""
        return self.clock.breached_at is not None


TakeCycle = Callable[[OpenCycle], None]


class ReportRow:
    """The figures of one group."""

    __slots__ = ("open_in_time", "open_overdue", "paused_by", "sums")

    def __init__(self) -> None:
        self.sums = Sums((), 0, 0, 0, 0, None, None, None, 0, 0)
        self.open_overdue = 0
        self.open_in_time = 0
        self.paused_by: dict[str, int] = {}

    @property
    def attainment(self) -> float | None:
        """The share that was met (A4); None when nothing was judged."""
        return _share(self.sums.met, self.sums.met + self.sums.missed)

    @property
    def attainment_with_open(self) -> float | None:
        """The same, with open overdue cycles counted as missed."""
        return _share(self.sums.met, self.sums.met + self.sums.missed + self.open_overdue)

    @property
    def attainment_excused(self) -> float | None:
        """The same without the misses that were excused."""
        return _share(self.sums.met, self.sums.met + self.sums.missed - self.sums.missed_excused)

    def paused_share(self, paused_ms: int) -> float | None:
        """The share of open time that `paused_ms` is."""
        return _share(paused_ms, self.sums.elapsed + self.sums.paused)


class Report:
    """The figures by group and in total: first of closed cycles, then of open ones too."""

    def __init__(self, query: ReportQuery) -> None:
        self.total = ReportRow()
        self.rows: dict[Group, ReportRow] = {}
        self._query = query
        self._keys = GroupKeys(query)

    def add(self, cycle: OpenCycle) -> None:
        """Counts an open cycle, if it is in the period."""
        if not in_period(self._query, cycle):
            return
        counted = [self.total]
        if self._keys.grouping.expressions:
            group = group_of(self._keys, self._query, cycle)
            counted.append(self.rows.setdefault(group, ReportRow()))
        for row in counted:
            row.open_overdue += cycle.is_overdue
            row.open_in_time += not cycle.is_overdue

    def in_order(self) -> list[tuple[Group, ReportRow]]:
        """The rows in the order of their groups."""
        return sorted(self.rows.items(), key=lambda item: item[0])


class Attainment:
    """Reads ledger and trackings. Used by one thread at a time; each method is a piece of a report."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._ledger: LedgerStore = store.ledger()
        self._catalog = catalog

    def unfilled(self) -> int:
        """How many trackings from before the ledger may still have no rows in it."""
        return int(self._store.meta("ledger_unfilled") or 0)

    def closed(self, query: ReportQuery) -> Report:
        """The figures about closed cycles."""
        report, keys, period = Report(query), GroupKeys(query), self._period(query)
        if period is None:
            return report
        total, rows = report.total, report.rows
        for sums in self._ledger.sums(period, Grouping()):
            total.sums = sums
        if keys.grouping.expressions:
            for sums in self._ledger.sums(period, keys.grouping):
                rows.setdefault(keys.shown(sums.group), ReportRow()).sums = sums
        for group, reason, paused_ms in self._ledger.paused_by(period, keys.grouping):
            total.paused_by[reason] = total.paused_by.get(reason, 0) + paused_ms
            if keys.grouping.expressions:
                rows[keys.shown(group)].paused_by[reason] = paused_ms
        return report

    def entry_keys(self, query: ReportQuery, group: Group | None, figures: frozenset[Figure]) -> list[int]:
        """The keys of the rows of the ledger that a report counts.

        `group` None: of all groups. `figures` empty: of all figures.
        """
        period = self._period(query)
        if period is None:
            return []
        keys = GroupKeys(query)
        told = " OR ".join(_FIGURES[figure] for figure in sorted(figures & _FIGURES.keys()))
        if figures and not told:
            return []
        chosen = keys.stored(group) if group is not None else None
        return self._ledger.entry_keys(period, keys.grouping, chosen, told or "TRUE")

    def entries(self, keys: list[int], tenant_id: str) -> list[StoredEntry]:
        """The rows with these keys."""
        return list(self._ledger.entries(keys, tenant_id))

    def last_audit(self, as_of: int) -> int:
        """The last command that was carried out by `as_of`: what came after it is undone (A5)."""
        return self._ledger.last_audit(as_of)

    def open_page(
        self, query: ReportQuery, last_audit: int, after_key: int, seen: set[int], take: TakeCycle
    ) -> int | None:
        """Gives `take` the open cycles of the next live trackings, as of the report.

        Returns the key to go on after; None: there are no more. Adds the trackings it looked at to `seen`.
        """
        tenant_key = self._catalog.tenant_key(query.tenant_id)
        if tenant_key is None:
            return None
        key, scanned = after_key, 0
        for record in giving_way(self._store.of_tenant(tenant_key, TrackingState.ACTIVE, after_key, PAGE)):
            key, scanned = record.tracking_key, scanned + 1
            seen.add(key)
            self._take(query, last_audit, record, take)
        return key if scanned == PAGE else None

    def ended_since(self, query: ReportQuery, last_audit: int, seen: set[int]) -> list[int]:
        """The trackings that may have been live at the instant of the report, and no longer are."""
        tenant_key = self._catalog.tenant_key(query.tenant_id)
        if tenant_key is None:
            return []
        return [key for key in self._ledger.ended_after(tenant_key, last_audit) if key not in seen]

    def open_of(self, query: ReportQuery, last_audit: int, keys: list[int], take: TakeCycle) -> None:
        """Gives `take` the open cycles of these trackings, as of the report."""
        records = self._store.by_keys(keys)
        for record in giving_way(records[key] for key in keys if key in records):
            self._take(query, last_audit, record, take)

    def overdue(self, after_key: int, now: int) -> tuple[dict[int, int], int | None]:
        """(open cycles past 100 % by tracking, the key to go on after, None at the end), of all tenants."""
        found: dict[int, int] = {}
        key, scanned = after_key, 0
        for record in self._store.of_all(after_key, PAGE):
            key, scanned = record.tracking_key, scanned + 1
            # Most have fired nothing, and need not be read.
            if record.state is TrackingState.ACTIVE and record.tracking.fired:
                try:
                    reading = machine.reading_at(record.tracking, self._catalog.calendar, now)
                    found[key] = overdue_cycles(reading)
                except Unreadable as error:
                    self._store.unreadable.note(error)
        return found, key if scanned == PAGE else None

    def old_rows(self, before: int, limit: int) -> list[int]:
        """Keys of rows of the ledger that were recorded before an instant."""
        return self._ledger.old(before, limit)

    def _take(self, query: ReportQuery, last_audit: int, record: Record, take: TakeCycle) -> None:
        key, tracking = record.tracking_key, record.tracking
        later = self._ledger.audit_after(key, last_audit)
        if later and not self._ledger.was_there(key, last_audit):
            return
        for _, command in later:
            if command.undo is not None:
                tracking = undone(tracking, command.undo)
        shortest = min((clock.target_ms for clock in tracking.terms.clocks), default=0)
        if query.by is ReportBy.DUE and tracking.started_at + shortest >= query.to_ms:
            return  # it is due after the period, even if every hour counts
        ticket = TicketRef(query.tenant_id, record.ticket_id, record.generation)
        try:
            reading = machine.reading_at(tracking, self._catalog.calendar, query.as_of)
            for clock in reading.clocks:
                is_open = clock.closed_at is None or clock.closed_at > query.as_of
                if not is_open or clock.opened_at > query.as_of:
                    continue
                if query.clocks and clock.name not in query.clocks:
                    continue
                calendar = self._catalog.calendar(clock.terms.schedule_key)
                entry = entry_of(clock, tracking, reading.history, calendar)
                take(OpenCycle(ticket, tracking, clock, entry._replace(closed_at=None, verdict=None)))
        except Unreadable as error:
            self._store.unreadable.note(error)

    def _period(self, query: ReportQuery) -> Period | None:
        tenant_key = self._catalog.tenant_key(query.tenant_id)
        if tenant_key is None:
            return None
        return Period(tenant_key, COLUMNS[query.by], query.from_ms, query.to_ms, query.as_of, query.clocks)


def in_period(query: ReportQuery, cycle: OpenCycle) -> bool:
    """Whether an open cycle is in the period of a report. By CLOSED it is in none."""
    at = _instant(query.by, cycle)
    return at is not None and query.from_ms <= at < query.to_ms


def group_of(keys: GroupKeys, query: ReportQuery, cycle: OpenCycle) -> Group:
    """The group of an open cycle."""
    return keys.of(cycle.entry, cycle.tracking.attributes, _instant(query.by, cycle))


_FIGURES: Final = {
    Figure.MET: f"verdict = {Verdict.MET.value}",
    Figure.MISSED: f"verdict = {Verdict.MISSED.value}",
    Figure.MISSED_EXCUSED: f"verdict = {Verdict.MISSED.value} AND excused",
    Figure.NONE: f"verdict = {Verdict.NONE.value}",
}
"""The figures about closed cycles, as SQL."""


def _instant(by: ReportBy, cycle: OpenCycle) -> int | None:
    if by is ReportBy.DUE:
        return cycle.clock.due_at
    return cycle.clock.opened_at if by is ReportBy.OPENED else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
