-- Who may call. The secret itself is nowhere; digests are SHA-256 of it.
CREATE TABLE token (
    token_id        TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    role            INTEGER NOT NULL,
    -- A JSON array of tenant ids, sorted; empty: every tenant.
    tenants         TEXT NOT NULL,
    digest          BLOB NOT NULL,
    -- The secret before the last rotation, and until when it is good.
    former_digest   BLOB,
    former_until    INTEGER,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    rotated_at      INTEGER,
    -- Revoked tokens stay: that there was one is why callers need one.
    revoked_at      INTEGER
) STRICT, WITHOUT ROWID;

-- The tenants that a consumer is for, as in token.tenants.
ALTER TABLE consumer ADD COLUMN tenants TEXT NOT NULL DEFAULT '';
