-- Instants are UTC epoch milliseconds. Bodies are described in slad/storage/codec.py.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY
) STRICT, WITHOUT ROWID;

-- Tenants are named in every row; here once, elsewhere by number.
CREATE TABLE tenant (
    tenant_key INTEGER PRIMARY KEY,
    tenant_id  TEXT NOT NULL UNIQUE
) STRICT;

-- Schedules by content: stored once, compiled once, shared by every tracking that counts by them.
CREATE TABLE schedule (
    schedule_key INTEGER PRIMARY KEY,
    digest       BLOB NOT NULL UNIQUE,
    body         BLOB NOT NULL
) STRICT;

-- One row a generation. The body holds all of a tracking's state; the columns are what is searched by.
CREATE TABLE tracking (
    tracking_key INTEGER PRIMARY KEY,
    tenant_key   INTEGER NOT NULL,
    ticket_id    TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    wake_at      INTEGER,
    body         BLOB NOT NULL
) STRICT;

-- The ticket first: a PSA may leave the tenant out (M7).
CREATE UNIQUE INDEX tracking_by_ticket ON tracking (ticket_id, tenant_key, generation);
-- The outermost level of the timing wheel.
CREATE INDEX tracking_by_wake ON tracking (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX tracking_by_tenant ON tracking (tenant_key, state);

-- The outbox: what happened, in the one order (E1). The body is the event as it goes over the wire.
CREATE TABLE event (
    sequence     INTEGER PRIMARY KEY,
    tracking_key INTEGER NOT NULL,
    tenant_key   INTEGER NOT NULL,
    type         INTEGER NOT NULL,
    body         BLOB NOT NULL
) STRICT;

CREATE INDEX event_by_tracking ON event (tracking_key);

-- Durable readers of the outbox (E2).
CREATE TABLE consumer (
    name            TEXT PRIMARY KEY,
    acknowledged    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    acknowledged_at INTEGER
) STRICT, WITHOUT ROWID;

-- The commands that were carried out, by tracking.
CREATE TABLE audit (
    audit_key    INTEGER PRIMARY KEY,
    tracking_key INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    body         BLOB NOT NULL
) STRICT;

CREATE INDEX audit_by_tracking ON audit (tracking_key);

-- The first answer to every request id (M6).
CREATE TABLE request (
    request_key INTEGER PRIMARY KEY,
    tenant_id   TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    answer      BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX request_by_id ON request (request_id, tenant_id);
