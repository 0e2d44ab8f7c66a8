-- As in 0006, of what else is told or acted upon.
ALTER TABLE audit ADD COLUMN checksum INTEGER;
ALTER TABLE parked_event ADD COLUMN checksum INTEGER;
ALTER TABLE temporal_outbox ADD COLUMN checksum INTEGER;
