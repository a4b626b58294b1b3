-- What people say about consumption: readings given or taken away, periods that were billed, what changed afterwards; and
-- the meters of one outage.

-- Laid over the readings when days are settled and hours are read (metering.consumption.amendments). Versioned: a row is
-- never changed but withdrawn, and whoever changes his mind writes the next one.
CREATE TABLE amendments (
    amendment_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id      bigint NOT NULL REFERENCES meters,
    ts            timestamptz NOT NULL CHECK (date_trunc('second', ts) = ts),
    index_ml      bigint CHECK (index_ml >= 0),     -- what counts at that instant; NULL: nothing that was sent counts
    source        text NOT NULL CHECK (source IN ('person', 'installation')),
    reason        text NOT NULL,
    made_by       text NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT now(),
    withdrawn_at  timestamptz,
    withdrawn_by  text,
    withdrawn_why text
);
CREATE UNIQUE INDEX amendments_in_force ON amendments (meter_id, ts) WHERE withdrawn_at IS NULL;
CREATE INDEX ON amendments (meter_id, made_at DESC);

CREATE FUNCTION amendments_touch() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO touched_spans (meter_id, from_ts, to_ts) SELECT meter_id, ts, ts FROM new_rows;
    RETURN NULL;
END $$;
CREATE TRIGGER amendments_added AFTER INSERT ON amendments
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION amendments_touch();
CREATE TRIGGER amendments_changed AFTER UPDATE ON amendments
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION amendments_touch();

-- The index a meter showed when it was put in is a reading like any other. A beginning before readings can be (1970)
-- says only that it was there already.
CREATE FUNCTION installations_start_index() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE amendments a SET withdrawn_at = now(), withdrawn_by = 'platform', withdrawn_why = 'installation changed'
        FROM new_rows n JOIN old_rows o USING (installation_id)
        WHERE a.meter_id = o.meter_id AND a.ts = date_trunc('second', o.valid_from) AND a.source = 'installation'
          AND a.withdrawn_at IS NULL
          AND (n.meter_id, n.valid_from, n.start_index_ml) IS DISTINCT FROM (o.meter_id, o.valid_from, o.start_index_ml);
    END IF;
    INSERT INTO amendments (meter_id, ts, index_ml, source, reason, made_by)
    SELECT DISTINCT ON (meter_id, date_trunc('second', valid_from)) meter_id, date_trunc('second', valid_from),
           start_index_ml, 'installation', 'start index', 'platform'
    FROM new_rows WHERE start_index_ml >= 0 AND valid_from > '2010-01-01Z'
    ORDER BY meter_id, date_trunc('second', valid_from), installation_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER installations_started AFTER INSERT ON installations
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION installations_start_index();
CREATE TRIGGER installations_restarted AFTER UPDATE ON installations
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION installations_start_index();

CREATE TABLE billing_periods (
    period_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL UNIQUE CHECK (name <> ''),
    first_day date NOT NULL,                        -- local days, both included
    last_day  date NOT NULL CHECK (last_day >= first_day),
    state     text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    opened_by text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_by text,
    closed_at timestamptz,
    EXCLUDE USING gist (daterange(first_day, last_day, '[]') WITH &&)
);

-- What was billed, as it was known at closing: one row per period and installation. Never changed afterwards.
CREATE TABLE billing_entries (
    period_id         bigint NOT NULL REFERENCES billing_periods,
    installation_id   bigint NOT NULL REFERENCES installations,
    meter_id          bigint NOT NULL REFERENCES meters,
    service_point_id  bigint NOT NULL REFERENCES service_points,
    multiplier        integer NOT NULL,
    first_day         date NOT NULL,
    last_day          date NOT NULL,
    start_index_ml    bigint NOT NULL,              -- at the local midnight at which first_day begins
    end_index_ml      bigint NOT NULL,              -- at the local midnight at which last_day ends
    consumption_ml    bigint NOT NULL,              -- of the register
    billed_ml         bigint NOT NULL,              -- consumption_ml × multiplier
    excluded_ml       bigint NOT NULL,
    quality           text NOT NULL,                -- the weakest of its days
    reasons           text[] NOT NULL,
    complete          boolean NOT NULL,             -- each day is there, and readings reach both of its midnights
    days              integer NOT NULL,             -- settled
    measured_days     integer NOT NULL,
    interpolated_days integer NOT NULL,
    estimated_days    integer NOT NULL,
    edited_days       integer NOT NULL,
    meter_index_ml    bigint,                       -- what the meter itself froze at its settlement day, where it says so
    PRIMARY KEY (period_id, installation_id)
);
CREATE INDEX ON billing_entries (meter_id);

-- What turned out different after closing: the sum of an entry and its corrections is what is known now.
CREATE TABLE billing_corrections (
    correction_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period_id       bigint NOT NULL REFERENCES billing_periods,
    installation_id bigint NOT NULL REFERENCES installations,
    meter_id        bigint NOT NULL REFERENCES meters,
    found_at        timestamptz NOT NULL DEFAULT now(),
    before_ml       bigint NOT NULL,                -- billed, corrections so far included
    after_ml        bigint NOT NULL,
    difference_ml   bigint NOT NULL,
    quality         text NOT NULL,
    reasons         text[] NOT NULL,
    carried_to      bigint REFERENCES billing_periods    -- the period with which it is billed; NULL: not yet
);
CREATE INDEX ON billing_corrections (period_id, installation_id);
CREATE INDEX ON billing_corrections (period_id) WHERE carried_to IS NULL;

-- The billing lines of local days as they are settled now. A day of a meter belongs to the installation that began last
-- by its end. `only_meters` NULL: all.
CREATE FUNCTION billing_lines(from_day date, to_day date, zone text, only_meters bigint[])
RETURNS TABLE (installation_id bigint, meter_id bigint, service_point_id bigint, multiplier integer, first_day date,
               last_day date, start_index_ml bigint, end_index_ml bigint, consumption_ml bigint, billed_ml bigint,
               excluded_ml bigint, quality text, reasons text[], complete boolean, days integer, measured_days integer,
               interpolated_days integer, estimated_days integer, edited_days integer)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH begun AS (
        SELECT i.*, (GREATEST(i.valid_from, '2000-01-01Z') AT TIME ZONE zone)::date AS from_local,
               (LEAST(i.valid_to, '2100-01-01Z') AT TIME ZONE zone)::date AS to_local
        FROM installations i WHERE only_meters IS NULL OR i.meter_id = ANY (only_meters)
    ), held AS (
        SELECT b.installation_id, b.meter_id, b.service_point_id, b.multiplier, GREATEST(from_day, b.from_local) AS starts,
               LEAST(to_day, b.to_local, lead(b.from_local - 1) OVER (
                   PARTITION BY b.meter_id ORDER BY b.valid_from, b.installation_id)) AS ends
        FROM begun b
    ), summed AS (
        SELECT h.installation_id, h.meter_id, h.service_point_id, h.multiplier, h.starts, h.ends,
               (array_agg(d.start_index_ml ORDER BY d.day))[1] AS start_index_ml,
               (array_agg(d.end_index_ml ORDER BY d.day DESC))[1] AS end_index_ml,
               sum(d.consumption_ml)::bigint AS consumption_ml, sum(d.excluded_ml)::bigint AS excluded_ml,
               max(array_position(ARRAY['measured', 'edited', 'interpolated', 'estimated'], d.quality)) AS weakest,
               string_agg(array_to_string(d.reasons, ','), ',') AS reasons, bool_and(d.complete) AS complete,
               count(*)::integer AS days, (count(*) FILTER (WHERE d.quality = 'measured'))::integer AS measured_days,
               (count(*) FILTER (WHERE d.quality = 'interpolated'))::integer AS interpolated_days,
               (count(*) FILTER (WHERE d.quality = 'estimated'))::integer AS estimated_days,
               (count(*) FILTER (WHERE d.quality = 'edited'))::integer AS edited_days
        FROM held h
        JOIN settled_days d ON d.meter_id = h.meter_id AND d.day BETWEEN from_day AND to_day
                           AND d.day BETWEEN h.starts AND h.ends
        GROUP BY h.installation_id, h.meter_id, h.service_point_id, h.multiplier, h.starts, h.ends
    )
    SELECT s.installation_id, s.meter_id, s.service_point_id, s.multiplier, s.starts, s.ends, s.start_index_ml,
           s.end_index_ml, s.consumption_ml, s.consumption_ml * s.multiplier, s.excluded_ml,
           (ARRAY['measured', 'edited', 'interpolated', 'estimated'])[s.weakest],
           ARRAY(SELECT DISTINCT r FROM unnest(string_to_array(s.reasons, ',')) r WHERE r <> '' ORDER BY r),
           s.complete AND s.days = s.ends - s.starts + 1, s.days, s.measured_days, s.interpolated_days,
           s.estimated_days, s.edited_days
    FROM summed s
$$;

-- Called by settlement, in the transaction that wrote days of these meters from `from_day` to `to_day`: whatever differs
-- from what a closed period billed becomes a correction. Calling it twice adds nothing.
CREATE FUNCTION billing_recheck(meters bigint[], from_day date, to_day date, zone text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    closed billing_periods%ROWTYPE;
    added  bigint;
    total  bigint := 0;
BEGIN
    FOR closed IN SELECT * FROM billing_periods p
                  WHERE p.state = 'closed' AND p.first_day <= to_day AND p.last_day >= from_day LOOP
        INSERT INTO billing_corrections (period_id, installation_id, meter_id, before_ml, after_ml, difference_ml, quality,
                                         reasons)
        SELECT closed.period_id, l.installation_id, l.meter_id, b.billed_ml, l.billed_ml, l.billed_ml - b.billed_ml,
               l.quality, l.reasons
        FROM (
            WITH lines AS (SELECT * FROM billing_lines(closed.first_day, closed.last_day, zone, meters))
            SELECT n.installation_id, n.meter_id, n.billed_ml, n.quality, n.reasons FROM lines n
            UNION ALL    -- billed, and no day of it is known any more
            SELECT e.installation_id, e.meter_id, 0, 'estimated', '{}' FROM billing_entries e
            WHERE e.period_id = closed.period_id AND e.meter_id = ANY (meters)
              AND NOT EXISTS (SELECT FROM lines n WHERE n.installation_id = e.installation_id)
        ) l
        CROSS JOIN LATERAL (SELECT
            COALESCE((SELECT e.billed_ml FROM billing_entries e
                      WHERE e.period_id = closed.period_id AND e.installation_id = l.installation_id), 0)
            + COALESCE((SELECT sum(c.difference_ml) FROM billing_corrections c
                        WHERE c.period_id = closed.period_id AND c.installation_id = l.installation_id), 0)::bigint
            AS billed_ml) b
        WHERE l.billed_ml <> b.billed_ml;
        GET DIAGNOSTICS added = ROW_COUNT;
        total := total + added;
    END LOOP;
    RETURN total;
END $$;
REVOKE ALL ON FUNCTION billing_recheck(bigint[], date, date, text) FROM PUBLIC;

-- The meters of an alert that is about several (an outage), each in one such alert at a time.
CREATE TABLE alert_meters (
    alert_id bigint NOT NULL REFERENCES alerts,
    meter_id bigint NOT NULL REFERENCES meters,
    PRIMARY KEY (alert_id, meter_id)
);
CREATE INDEX ON alert_meters (meter_id);
