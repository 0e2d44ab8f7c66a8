"""What a report is about, and by what its rows are told apart (A4): the ledger by SQL, open cycles here.

Instants are UTC epoch ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from enum import IntEnum
from typing import Any, Final, NamedTuple

from slad.core.instants import DAY_MS
from slad.core.ledger import LedgerEntry
from slad.core.zones import Zone, load_zone
from slad.storage.ledger_store import Grouping


class ReportBy(IntEnum):
    """Which instant of a cycle decides into which period it falls (A4). Numbers of the wire contract."""

    DUE = 1
    CLOSED = 2
    OPENED = 3


class GroupKey(IntEnum):
    """By what rows are told apart (A4). Numbers of the wire contract."""

    CLOCK = 1
    POLICY = 2
    PRIORITY = 3
    OWNER = 4
    DAY = 5
    WEEK = 6
    MONTH = 7


class ReportQuery(NamedTuple):
    """What a report is about: the cycles of [from_ms, to_ms)."""

    tenant_id: str
    from_ms: int
    to_ms: int
    timezone: str
    """Of days, weeks and months."""
    by: ReportBy
    group_by: tuple[GroupKey, ...]
    attributes: tuple[str, ...]
    """By which rows are told apart too."""
    clocks: tuple[str, ...]
    """By name; empty: all."""
    as_of: int


Group = tuple[str, ...]
"""The values of `group_by`, then of `attributes`."""


class GroupKeys:
    """The values of a group: as SQL of a row of the ledger, of an open cycle, and as they are shown."""

    def __init__(self, query: ReportQuery) -> None:
        self._zone = load_zone(query.timezone)
        self._group_by, self._attributes = query.group_by, query.attributes
        column = COLUMNS[query.by]
        names = {f"attribute{place}": name for place, name in enumerate(query.attributes)}
        local = f"({column} + {_offset(self._zone, column, query.from_ms, query.to_ms)})"
        self.grouping = Grouping(
            (
                *(_EXPRESSIONS[key].format(local=local) for key in query.group_by),
                *(f"coalesce(attributes ->> :{name}, '')" for name in names),
            ),
            names,
        )

    def shown(self, group: tuple[Any, ...]) -> Group:
        """A group as it is shown, given what SQL made of it."""
        size = len(self._group_by)
        shown = (_shown(key, value) for key, value in zip(self._group_by, group[:size], strict=True))
        return (*shown, *group[size:])

    def stored(self, group: Group) -> tuple[Any, ...]:
        """The other way round. Raises ValueError."""
        size = len(self._group_by)
        stored = (_stored(key, value) for key, value in zip(self._group_by, group[:size], strict=True))
        return (*stored, *group[size:])

    def of(self, entry: LedgerEntry, attributes: Mapping[str, str], at: int | None) -> Group:
        """The group of an open cycle that belongs to the instant `at`; None: past year 9999."""
        day = None if at is None else (at + self._zone.offset_at(at)) // DAY_MS
        values: dict[GroupKey, Any] = {
            GroupKey.CLOCK: entry.clock,
            GroupKey.POLICY: entry.policy_id,
            GroupKey.PRIORITY: entry.priority_id,
            GroupKey.OWNER: entry.owner,
            GroupKey.DAY: day,
            GroupKey.WEEK: None if day is None else (day + 3) // 7,
            GroupKey.MONTH: "" if day is None else f"{_EPOCH + timedelta(days=day):%Y-%m}",
        }
        return (
            *(_shown(key, values[key]) for key in self._group_by),
            *(attributes.get(name, "") for name in self._attributes),
        )


_EPOCH: Final = date(1970, 1, 1)

COLUMNS: Final = {ReportBy.DUE: "due_at", ReportBy.CLOSED: "closed_at", ReportBy.OPENED: "opened_at"}
"""The column of the ledger that has the instant."""

_EXPRESSIONS: Final = {
    GroupKey.CLOCK: "clock",
    GroupKey.POLICY: "policy_id",
    GroupKey.PRIORITY: "priority_id",
    GroupKey.OWNER: "owner",
    GroupKey.DAY: f"({{local}} / {DAY_MS})",
    # 1970-01-01 was a Thursday.
    GroupKey.WEEK: f"(({{local}} / {DAY_MS} + 3) / 7)",
    GroupKey.MONTH: "strftime('%Y-%m', {local} / 1000, 'unixepoch')",
}


def _shown(key: GroupKey, value: Any) -> str:
    if value is None:
        return ""
    if key is GroupKey.DAY:
        return (_EPOCH + timedelta(days=value)).isoformat()
    if key is GroupKey.WEEK:
        year, week, _ = (_EPOCH + timedelta(days=value * 7 - 3)).isocalendar()
        return f"{year}-W{week:02}"
    return str(value)


def _stored(key: GroupKey, text: str) -> Any:
    if key is GroupKey.DAY:
        return (date.fromisoformat(text) - _EPOCH).days
    if key is GroupKey.WEEK:
        return ((date.fromisoformat(f"{text}-1") - _EPOCH).days + 3) // 7
    if key is GroupKey.MONTH:
        date.fromisoformat(f"{text}-01")
    return text


def _offset(zone: Zone, column: str, from_ms: int, to_ms: int) -> str:
    """How far a zone's clocks are ahead of UTC at the instant in a column, ms, as SQL."""
    changes = list(zone.transitions(from_ms, to_ms))
    if not changes:
        return str(zone.offset_at(from_ms))
    arms = "".join(f" WHEN {column} < {change.at_ms} THEN {change.before_ms}" for change in changes)
    return f"CASE{arms} ELSE {changes[-1].after_ms} END"
