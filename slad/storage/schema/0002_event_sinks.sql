-- Events that a sink's target refused, each with what came after it on the same ticket: kept here, body and all,
-- until they are delivered after all or discarded. Instants are UTC epoch milliseconds.
CREATE TABLE parked_event (
    consumer  TEXT NOT NULL,
    sequence  INTEGER NOT NULL,
    tenant_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    parked_at INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    released  INTEGER NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (consumer, sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX parked_by_ticket ON parked_event (consumer, tenant_id, ticket_id);
