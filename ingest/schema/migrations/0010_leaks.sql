-- Our own leak detector, live: what it knows of each meter, which meters have news for it, and what its alerts say.

-- What the detector knows of a meter the midnight before `day` (ingest/leaks/habits.py). It can be learned again from
-- readings at any time: a record of another version is thrown away.
CREATE TABLE leak_states (
    meter_id bigint PRIMARY KEY REFERENCES meters,
    day      date NOT NULL,                    -- the next day to look at, in the utility's time zone
    days     integer NOT NULL,                 -- it has been learned for
    version  smallint NOT NULL,
    record   bytea NOT NULL
);
ALTER TABLE leak_states ALTER COLUMN record SET STORAGE EXTERNAL;    -- numbers hardly compress, and trying costs more

-- Meters whose settled readings changed from `from_ts` on since the detector looked at them. No reference to meters:
-- settlement writes a row for each meter it settles.
CREATE TABLE leak_due (
    meter_id bigint PRIMARY KEY,
    from_ts  timestamptz NOT NULL,
    changes  bigint NOT NULL DEFAULT 0,        -- counts on: what changes while the detector looks stays due
    due_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON leak_due (due_at);

ALTER TABLE alerts
    ADD COLUMN certainty     text CHECK (certainty IN ('suspected', 'confirmed', 'cleared')),  -- NULL: has no such states
    ADD COLUMN rate_low_ml_h  bigint,          -- interval of rate_ml_h
    ADD COLUMN rate_high_ml_h bigint;

-- While it lasts no alert of this kind is raised for the meter or the zone: works on a main, a pool being filled.
CREATE TABLE alert_suppressions (
    suppression_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id       bigint REFERENCES meters,
    zone_id        bigint REFERENCES zones,    -- with all zones below it
    kind           text,                       -- NULL: every kind
    valid_from     timestamptz NOT NULL,
    valid_to       timestamptz NOT NULL,
    reason         text NOT NULL CHECK (reason <> ''),
    created_by     text NOT NULL,              -- login
    created_at     timestamptz NOT NULL DEFAULT now(),
    ended_by       text,                       -- who ended it before its time, by setting valid_to
    CHECK (valid_to > valid_from),
    CHECK (num_nonnulls(meter_id, zone_id) = 1)
);
CREATE INDEX ON alert_suppressions (meter_id, valid_to);
CREATE INDEX ON alert_suppressions (zone_id, valid_to);

-- Until when alerts of a kind are suppressed for a meter or a zone at an instant, by windows of its own or of a zone
-- around it; NULL: they are not. `kind` of a window is exact, or a prefix that ends with ':' ('meter_alarm:'). Written so
-- that each step is a look into an index: it is called once per alert that would be raised.
CREATE FUNCTION alert_suppressed_until(of_meter bigint, of_zone bigint, of_kind text, instant timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE COST 10000 AS $$
    WITH RECURSIVE around AS (
        SELECT COALESCE(of_zone, (
            SELECT sp.zone_id FROM installations i JOIN service_points sp USING (service_point_id)
            WHERE i.meter_id = of_meter AND i.valid_from <= instant AND (i.valid_to IS NULL OR i.valid_to > instant)
            ORDER BY i.valid_from DESC LIMIT 1)) AS zone_id
        UNION
        SELECT (SELECT z.parent_id FROM zones z WHERE z.zone_id = a.zone_id) FROM around a WHERE a.zone_id IS NOT NULL
    ), windows AS (
        SELECT kind, valid_from, valid_to FROM alert_suppressions WHERE meter_id = of_meter AND valid_to > instant
        UNION ALL
        SELECT s.kind, s.valid_from, s.valid_to
        FROM around a
        CROSS JOIN LATERAL (
            SELECT * FROM alert_suppressions WHERE zone_id = a.zone_id AND valid_to > instant OFFSET 0) s
    )
    SELECT max(valid_to) FROM windows
    WHERE valid_from <= instant
      AND (kind IS NULL OR kind = of_kind OR (right(kind, 1) = ':' AND starts_with(of_kind, kind)))
$$;
