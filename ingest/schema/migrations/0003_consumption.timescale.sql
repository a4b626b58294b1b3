-- A million meters settle a million days a day: a plain table's key over all history would slow every batch down, and
-- take more room than the readings. A day is settled again while late readings come, so compression waits longest here.
SELECT create_hypertable('settled_days', by_range('day', INTERVAL '28 days'), create_default_indexes => false);
ALTER TABLE settled_days SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'meter_id', timescaledb.orderby = 'day');
CALL add_columnstore_policy('settled_days', after => INTERVAL '60 days');
SELECT add_retention_policy('settled_days', INTERVAL '10 years');
