-- CRC-32 of what a row tells (slad/storage/checksums.py); NULL: written by an earlier slad. A schedule needs none:
-- its digest is one.
ALTER TABLE tracking ADD COLUMN checksum INTEGER;
ALTER TABLE event ADD COLUMN checksum INTEGER;
ALTER TABLE request ADD COLUMN checksum INTEGER;

-- Rows that could not be read any more and were set aside (slad doctor --quarantine), so that the rest is served.
CREATE TABLE quarantine (
    quarantine_key INTEGER PRIMARY KEY,
    set_aside_at   INTEGER NOT NULL,
    -- The table that the row was in, what it was about, and what was wrong.
    from_table     TEXT NOT NULL,
    what           TEXT NOT NULL,
    reason         TEXT NOT NULL,
    -- Its columns as a JSON object; blobs as hexadecimal text.
    columns        TEXT NOT NULL
) STRICT;
