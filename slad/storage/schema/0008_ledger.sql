-- What became of each promise (A1, A2): a row for each cycle that closed, and a further one with the next revision when
-- something changes it. Rows are never overwritten. Instants are UTC epoch milliseconds, spans milliseconds of open time.
CREATE TABLE ledger (
    entry_key    INTEGER PRIMARY KEY,
    tracking_key INTEGER NOT NULL,
    tenant_key   INTEGER NOT NULL,
    ticket_id    TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    -- A JSON object of those attributes that the setting ledger.attributes names; NULL: none.
    attributes   TEXT,
    -- The release of the time-zone database.
    tzdata       TEXT NOT NULL,
    clock        TEXT NOT NULL,
    -- What makes it the same cycle whatever facts arrive (K4): when it opened; 0 of a clock that has one only.
    cycle_key    INTEGER NOT NULL,
    cycle        INTEGER NOT NULL,
    opened_at    INTEGER NOT NULL,
    policy_id    TEXT NOT NULL,
    priority_id  TEXT NOT NULL,
    owner        TEXT NOT NULL,
    -- NULL: past the year 9999.
    due_at       INTEGER,
    closed_at    INTEGER NOT NULL,
    target_ms    INTEGER NOT NULL,
    elapsed_ms   INTEGER NOT NULL,
    paused_ms    INTEGER NOT NULL,
    -- A JSON object of ms by reason; NULL: no pause took any.
    paused_by    TEXT,
    -- 1 met, 2 missed, 3 none, 4 void: the cycle is not closed any more, never was, or a later generation has it.
    verdict      INTEGER NOT NULL,
    -- The caller's own verdict; NULL: it sent none.
    reported_met INTEGER,
    reason_code  TEXT NOT NULL,
    note         TEXT NOT NULL,
    excused      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX ledger_by_cycle ON ledger (tracking_key, clock, cycle_key, revision);
-- Few rows revise another: so it is cheap to see that a row is the last one.
CREATE INDEX ledger_by_revision ON ledger (tracking_key, clock, cycle_key, revision, recorded_at) WHERE revision > 1;
CREATE INDEX ledger_by_due ON ledger (tenant_key, due_at);
CREATE INDEX ledger_by_recording ON ledger (tenant_key, recorded_at);

-- Trackings from before, up to this key, have no rows yet: slad fills them in beside its work, from the newest down.
INSERT INTO meta SELECT 'ledger_unfilled', max(tracking_key) FROM tracking HAVING max(tracking_key) IS NOT NULL;
