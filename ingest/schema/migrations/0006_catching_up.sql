-- How far ingest is behind the stream, so that settlement can leave the machine to it while it catches up.
ALTER TABLE watermarks ADD COLUMN behind_s real NOT NULL DEFAULT 0;
