-- Earlier states of meters, to go on from when a report comes late, instead of learning the meter again from months of
-- readings: at most three a meter (ingest/leaks/live/checkpoints.py). They go with the meter's state.
CREATE TABLE leak_checkpoints (
    meter_id bigint NOT NULL REFERENCES leak_states ON DELETE CASCADE,
    slot     smallint NOT NULL,
    day      date NOT NULL,                    -- as in leak_states
    version  smallint NOT NULL,
    record   bytea NOT NULL,
    PRIMARY KEY (meter_id, slot)
);
ALTER TABLE leak_checkpoints ALTER COLUMN record SET STORAGE EXTERNAL;
