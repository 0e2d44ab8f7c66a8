"""The promises of a report in a plain SQLite file, with one documented view (docs/reporting.md)."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from slad_client.v1 import attainment_pb2 as pb

from slad import __version__
from slad.cli import time_text
from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.core.instants import MINUTE_MS, to_datetime

_FIGURES: Final = {pb.SLA_VERDICT_MET: "met", pb.SLA_VERDICT_MISSED: "missed", pb.SLA_VERDICT_NONE: "none"}

COLUMNS: Final = {
    "tenant_id": "TEXT",
    "ticket_id": "TEXT",
    "generation": "INTEGER",
    "clock": "TEXT",
    "cycle": "INTEGER",
    "policy_id": "TEXT",
    "priority_id": "TEXT",
    "owner": "TEXT",
    "opened_at": "TEXT",
    "due_at": "TEXT",
    "closed_at": "TEXT",
    "figure": "TEXT",
    "is_met": "INTEGER",
    "is_excused": "INTEGER",
    "reported_met": "INTEGER",
    "target_minutes": "REAL",
    "elapsed_minutes": "REAL",
    "paused_minutes": "REAL",
    "paused_by": "TEXT",
    "reason_code": "TEXT",
    "note": "TEXT",
    "attributes": "TEXT",
    "revision": "INTEGER",
    "recorded_at": "TEXT",
    "tzdata": "TEXT",
}
"""Of the view `attainment`, and of CSV. Times are UTC, as `2026-10-05 07:30:00.000`."""


def has(message: Any, name: str) -> bool:
    """Whether a field of a message is set."""
    return bool(message.HasField(name))


def figure_of(entry: pb.SlaLedgerEntry) -> str:
    """Which figure counts a promise; a missed one that is excused is `missed`."""
    if has(entry, "closed_at"):
        return _FIGURES[entry.verdict]
    is_overdue = time_text.ms(entry.elapsed) >= time_text.ms(entry.target)
    return "open_overdue" if is_overdue else "open_in_time"


def cells_of(entry: pb.SlaLedgerEntry) -> dict[str, Any]:
    """The values of COLUMNS; None: there is none."""
    figure = figure_of(entry)
    paused_by = {paused.reason: _minutes(paused.paused) for paused in entry.paused_by}
    return {
        "tenant_id": entry.tenant_id,
        "ticket_id": entry.ticket_id,
        "generation": entry.generation,
        "clock": entry.clock,
        "cycle": entry.cycle,
        "policy_id": entry.policy_id,
        "priority_id": entry.priority_id,
        "owner": entry.owner,
        "opened_at": _utc(entry, "opened_at"),
        "due_at": _utc(entry, "due_at"),
        "closed_at": _utc(entry, "closed_at"),
        "figure": figure,
        "is_met": {"met": 1, "missed": 0}.get(figure),
        "is_excused": int(entry.excused),
        "reported_met": int(entry.reported_met) if has(entry, "reported_met") else None,
        "target_minutes": _minutes(entry.target),
        "elapsed_minutes": _minutes(entry.elapsed),
        "paused_minutes": _minutes(entry.paused),
        "paused_by": json.dumps(paused_by, ensure_ascii=False),
        "reason_code": entry.reason_code,
        "note": entry.note,
        "attributes": json.dumps(dict(sorted(entry.attributes.items())), ensure_ascii=False),
        "revision": entry.revision,
        "recorded_at": _utc(entry, "recorded_at"),
        "tzdata": entry.tzdata,
    }


def export_entries(file: Path, entries: Iterable[pb.SlaLedgerEntry], about: Mapping[str, str]) -> int:
    """Writes promises to a new file; how many they are. Raises CommandError when it cannot be written."""
    unfinished = file.with_name(f".{file.name}.part")
    try:
        if file.exists():
            raise CommandError(f"{file} exists already; slad does not overwrite it", EXIT_CANNOT_START)
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished)) as connection:
            columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
            connection.execute(f"CREATE TABLE promise ({columns})")
            names = ", ".join(COLUMNS)
            connection.execute(f"CREATE VIEW attainment AS SELECT {names} FROM promise")  # noqa: S608 - our own
            connection.execute("CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT)")
            told = {**about, "slad": __version__}
            connection.executemany("INSERT INTO about VALUES (?, ?)", told.items())
            insert = f"INSERT INTO promise VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - names of our own
            count = connection.executemany(insert, (tuple(cells_of(entry).values()) for entry in entries))
            connection.commit()
        os.replace(unfinished, file)
    except (OSError, sqlite3.Error) as error:
        raise CommandError(f"{file} cannot be written: {error}", EXIT_CANNOT_START) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return max(count.rowcount, 0)


def _utc(entry: pb.SlaLedgerEntry, name: str) -> str | None:
    if not has(entry, name):
        return None
    at = to_datetime(time_text.ms(getattr(entry, name)))
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def _minutes(span: Any) -> float:
    return time_text.ms(span) / MINUTE_MS
