-- No default index on the time alone: nothing asks for it, and keeping it up took half of the time of an insert.
-- Chunks of a day keep the hot index in memory at a million meters. Compression waits until the usual backlog has
-- arrived; later rows go straight into compressed chunks.
SELECT create_hypertable('readings', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
ALTER TABLE readings SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'ts, kind');
CALL add_columnstore_policy('readings', after => INTERVAL '7 days');
SELECT add_retention_policy('readings', INTERVAL '10 years');

SELECT create_hypertable('reports', by_range('received_at', INTERVAL '1 day'), create_default_indexes => false);
ALTER TABLE reports SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'device', timescaledb.orderby = 'received_at, report_id');
CALL add_columnstore_policy('reports', after => INTERVAL '32 days');
SELECT add_retention_policy('reports', INTERVAL '3 years');

SELECT create_hypertable('raw_reports', by_range('received_at', INTERVAL '1 day'), create_default_indexes => false);
SELECT add_retention_policy('raw_reports', INTERVAL '400 days');
