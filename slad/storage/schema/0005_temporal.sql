-- The trackings whose thresholds Temporal fires, while they are live. Instants are UTC epoch milliseconds.
CREATE TABLE temporal_ticket (
    tracking_key INTEGER PRIMARY KEY,
    workflow_id  TEXT NOT NULL,
    -- The next threshold by the facts.
    wake_at      INTEGER,
    -- When to look whether it was reported.
    check_at     INTEGER
) STRICT;

-- Two tickets must not share a workflow: tenant "a-b", ticket "c" and tenant "a", ticket "b-c" would.
CREATE UNIQUE INDEX temporal_ticket_by_workflow ON temporal_ticket (workflow_id);
CREATE INDEX temporal_ticket_by_wake ON temporal_ticket (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX temporal_ticket_by_check ON temporal_ticket (check_at) WHERE check_at IS NOT NULL;

-- What Temporal has yet to be told, in order. Keys are never used twice: they name a message for good.
CREATE TABLE temporal_outbox (
    message_key  INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id  TEXT NOT NULL,
    tracking_key INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    body         BLOB NOT NULL
) STRICT;

CREATE INDEX temporal_outbox_by_workflow ON temporal_outbox (workflow_id, message_key);

-- Workflows to which nothing is sent until an operator says so.
CREATE TABLE temporal_parked (
    workflow_id  TEXT PRIMARY KEY,
    tracking_key INTEGER NOT NULL,
    parked_at    INTEGER NOT NULL,
    reason       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
