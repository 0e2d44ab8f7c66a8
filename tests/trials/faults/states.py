"""The state of a database as one comparable value, and what must hold of it whatever the disk did."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw
import msgspec
from slad_client.v1 import types_pb2 as pb

from slad.core.tracking import Tracking
from slad.engine.doctor import Severity, examine
from slad.storage import epoch
from slad.storage.codec import decode_tracking
from slad.storage.database import DATABASE_NAME, DataDirectory
from slad.storage.store import Store

State = dict[str, list[Any]]
"""The rows of every table, in order."""

LINES, LINE = 12, 600
"""How much of a difference is shown."""

TABLES = ("tenant", "schedule", "tracking", "event", "consumer", "audit", "request")


def read_state(connection: apsw.Connection) -> State:
    state: State = {
        table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES
    }
    # The trial is nobody's state: it only shows that something could be written. Who it is was drawn by lot.
    state["meta"] = connection.execute(
        "SELECT * FROM meta WHERE name NOT IN ('trial', 'instance') ORDER BY 1"
    ).fetchall()
    return state


def digest(state: State) -> bytes:
    return blake2b(repr(state).encode(), digest_size=16).digest()


def timeless(state: State) -> State:
    """Without what depends on when a timer got through.

    One that had to be tried again fires later, and with its successor if that has come due meanwhile.
    """
    tracking = [(*row[:-2], _timeless_tracking(decode_tracking(row[-2]))) for row in state["tracking"]]
    events = [(*row[:-2], timeless_event(row[-2])) for row in state["event"]]
    return state | {"tracking": tracking, "event": events}


def timeless_event(body: bytes) -> bytes:
    event = pb.SlaEvent.FromString(body)
    event.ClearField("recorded_at")
    event.threshold.ClearField("fired_at")
    event.threshold.ClearField("superseded")
    event.threshold.ClearField("notification_superseded")
    return event.SerializeToString(deterministic=True)


def _timeless_tracking(tracking: Tracking) -> Tracking:
    fired = tuple(
        msgspec.structs.replace(one, fired_at=min(one.fired_at, 1), superseded=False)
        for one in tracking.fired
    )
    return msgspec.structs.replace(tracking, fired=fired, judged_at=min(tracking.judged_at, 1))


def opened(data: Path) -> DataDirectory:
    """A data directory that is where it always was, though its files were copied there."""
    with patch.object(epoch, "home_of", lambda database: "a trial"):
        return DataDirectory(data)


def reopened(data: Path, now: int) -> State:
    """The state of a data directory that slad opens again; the database has to be sound, the wakes right."""
    directory = opened(data)
    try:
        connection = apsw.Connection(os.fspath(data / DATABASE_NAME))
        store = Store(connection)
        for finding in examine(store.snapshot(), now):
            assert finding.severity is not Severity.FAILURE, finding
        state = read_state(connection)
        store.close()
    finally:
        directory.close()
    return state


def difference(one: State, other: State) -> str:
    """What differs between two states, for people."""
    lines: list[str] = []
    for table in one:
        lines += [f"- {table} {row}" for row in one[table] if row not in other[table]]
        lines += [f"+ {table} {row}" for row in other[table] if row not in one[table]]
    return "\n".join(line[:LINE] for line in lines[:LINES])
