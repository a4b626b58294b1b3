-- Chunk interval, layouts and times are chosen from measurements: docs/decisions/0011-hypertables.md.
-- No default index on the time alone: nothing asks for it, and keeping it up took half of the time of an insert.
-- Late rows go straight into compressed chunks; the policies compress those chunks again.
SELECT create_hypertable('readings', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
ALTER TABLE readings SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id, kind', timescaledb.orderby = 'ts');
CALL add_columnstore_policy('readings', after => INTERVAL '3 days');
SELECT add_retention_policy('readings', INTERVAL '10 years');

-- A device sends one report a day: a segment for each would be a batch for each row, four times the size of the rows.
-- After 32 days nobody asks any more whether a report is a repeat, by device and identity.
SELECT create_hypertable('reports', by_range('received_at', INTERVAL '1 day'), create_default_indexes => false);
ALTER TABLE reports SET (timescaledb.enable_columnstore, timescaledb.segmentby = '', timescaledb.orderby = 'meter_id, received_at, report_id');
CALL add_columnstore_policy('reports', after => INTERVAL '32 days');
SELECT add_retention_policy('reports', INTERVAL '3 years');

SELECT create_hypertable('raw_reports', by_range('received_at', INTERVAL '1 day'), create_default_indexes => false);
ALTER TABLE raw_reports SET (timescaledb.enable_columnstore, timescaledb.segmentby = '', timescaledb.orderby = 'received_at, report_id');
CALL add_columnstore_policy('raw_reports', after => INTERVAL '3 days');
SELECT add_retention_policy('raw_reports', INTERVAL '400 days');

-- A statement may unpack as many rows of compressed chunks as it changes: batches are bounded by the programs, and one
-- that TimescaleDB refused would be tried for ever.
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0', current_database());
END $$;
