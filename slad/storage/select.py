"""The queries of the store, as SQL. Those of the hot path are look-ups in an index (see tests/storage)."""

from __future__ import annotations

from typing import Final

_COLUMNS: Final = "tracking_key, tenant_key, ticket_id, generation, state, wake_at, body, checksum"
_EVENT_COLUMNS: Final = "sequence, tenant_key, type, body, tracking_key, checksum"

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
WAKES_OF_TENANT: Final = (
    "SELECT wake_at, tracking_key FROM tracking WHERE tenant_key = ? AND state = 1 AND wake_at IS NOT NULL"
    " ORDER BY wake_at LIMIT ?"
)
TICKETS_LIKE: Final = (
    "SELECT DISTINCT ticket_id, tenant_key FROM tracking WHERE ticket_id >= ? AND ticket_id < ? LIMIT ?"
)
TICKETS_OF_TENANTS_LIKE: Final = (
    "SELECT DISTINCT ticket_id, tenant_key FROM tracking INDEXED BY tracking_by_ticket"
    " WHERE ticket_id >= ? AND ticket_id < ? AND tenant_key IN (SELECT value FROM json_each(?)) LIMIT ?"
)
WAKES_AT: Final = "SELECT wake_at, tracking_key FROM tracking WHERE wake_at = ?"
WAKE_OF: Final = "SELECT wake_at FROM tracking WHERE tracking_key = ?"
_REQUEST_COLUMNS: Final = "tenant_id, request_id, fingerprint, answer, request_key, checksum"
REQUEST: Final = f"SELECT {_REQUEST_COLUMNS} FROM request WHERE request_id = ? AND tenant_id = ?"
EVENTS: Final = f"SELECT {_EVENT_COLUMNS} FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?"
EVENTS_OF: Final = f"SELECT {_EVENT_COLUMNS} FROM event WHERE tracking_key = ? ORDER BY sequence"
SCHEDULE: Final = "SELECT schedule_key, body, digest FROM schedule WHERE schedule_key = ?"
SCHEDULE_KEY: Final = "SELECT schedule_key FROM schedule WHERE digest = ?"
TENANT_KEY: Final = "SELECT tenant_key FROM tenant WHERE tenant_id = ?"
TENANT_KEYS: Final = "SELECT tenant_key FROM tenant WHERE tenant_key >= ? ORDER BY tenant_key LIMIT ?"
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
OPEN_TICKETS: Final = (
    # Each by an index alone.
    "SELECT (SELECT count(*) FROM tracking INDEXED BY tracking_by_tenant WHERE state = ?),"
    " (SELECT count(*) FROM tracking WHERE wake_at IS NOT NULL)"
)
EVENTS_OWED: Final = "SELECT count(*) FROM event WHERE sequence > ?"
HAS_TRACKINGS: Final = "SELECT EXISTS (SELECT 1 FROM tracking)"
NEWEST_AUDIT: Final = "SELECT recorded_at FROM audit WHERE audit_key = (SELECT max(audit_key) FROM audit)"
_PARKED_EVENT: Final = (
    "SELECT consumer, sequence, tenant_id, ticket_id, parked_at, attempts, reason, released, body, checksum"
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
_AUDIT_ENTRY: Final = "SELECT recorded_at, body, audit_key, tracking_key, checksum FROM audit"
AUDIT_OF: Final = f"{_AUDIT_ENTRY} WHERE tracking_key = ? ORDER BY audit_key"
AUDIT_AFTER: Final = f"{_AUDIT_ENTRY} WHERE tracking_key = ? AND audit_key > ? ORDER BY audit_key DESC"


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
    f" SELECT {_REQUEST_COLUMNS}"
    " FROM wanted CROSS JOIN request USING (request_id, tenant_id)"
    for size in AT_ONCE
}

BY_KEYS: Final = {
    size: f"SELECT {_COLUMNS} FROM tracking WHERE tracking_key IN ({', '.join(['?'] * size)})"
    for size in AT_ONCE
}

ALL_SCHEDULES: Final = "SELECT schedule_key, body, digest FROM schedule"
ALL_TRACKINGS: Final = f"SELECT {_COLUMNS} FROM tracking"
ALL_EVENTS: Final = f"SELECT {_EVENT_COLUMNS} FROM event"
ALL_REQUESTS: Final = f"SELECT {_REQUEST_COLUMNS} FROM request"
ALL_AUDIT: Final = _AUDIT_ENTRY
ALL_PARKED_EVENTS: Final = _PARKED_EVENT
"""Everything, for the doctor."""
