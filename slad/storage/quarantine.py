"""Setting rows aside that cannot be read, so that the rest can be served."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import apsw

from slad.storage.unreadable import Unreadable

KEYS: Final = {
    "tracking": "tracking_key",
    "event": "sequence",
    "schedule": "schedule_key",
    "request": "request_key",
    "audit": "audit_key",
    "parked_event": "consumer, sequence",
    "temporal_outbox": "message_key",
}
"""The tables that rows are taken from, each with its key."""


def set_aside(connection: apsw.Connection, errors: Iterable[Unreadable], now: int) -> None:
    """Moves rows to `quarantine`, in one transaction. `now`: UTC epoch ms. Raises apsw.Error."""
    with connection:
        for error in errors:
            key = error.key if isinstance(error.key, tuple) else (error.key,)
            where = f"FROM {error.table} WHERE ({KEYS[error.table]}) = ({', '.join('?' * len(key))})"
            cursor = connection.execute(f"SELECT * {where}", key)
            names = [column[0] for column in cursor.get_description()]
            row: Any = cursor.fetchone()
            columns = json.dumps(dict(zip(names, map(_shown, row), strict=True)))
            connection.execute(
                "INSERT INTO quarantine VALUES (NULL, ?, ?, ?, ?, ?)",
                (now, error.table, error.what, error.why, columns),
            )
            connection.execute(f"DELETE {where}", key)
            if error.table == "tracking":
                connection.execute("DELETE FROM temporal_ticket WHERE tracking_key = ?", key)


def _shown(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
