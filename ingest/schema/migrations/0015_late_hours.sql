-- Hours of which districts have a balance and to which readings came when nobody looked at them again by age
-- (ingest/districts/late_hours.py); settlement notes them, the districts' stage takes them away. At most one row for each
-- hour of the days that it looks back.
CREATE TABLE late_zone_hours (
    hour     timestamptz PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT now(),    -- first
    changes  integer NOT NULL DEFAULT 1             -- what comes while it is computed again stays due
);
CREATE INDEX ON late_zone_hours (noted_at);
