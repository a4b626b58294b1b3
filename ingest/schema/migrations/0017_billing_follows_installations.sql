-- Bills follow the register of installations.

-- An installation that ends at a local midnight has no part in the day that begins there: it was billed for that day, or
-- counted as one with a day missing. And a plan for any meters reads the days of all of them: after five pages of an
-- export the server thought that to be as good (PostgreSQL 18), or always did.
CREATE OR REPLACE FUNCTION billing_lines(from_day date, to_day date, zone text, only_meters bigint[])
RETURNS TABLE (installation_id bigint, meter_id bigint, service_point_id bigint, multiplier integer, first_day date,
               last_day date, start_index_ml bigint, end_index_ml bigint, consumption_ml bigint, billed_ml bigint,
               excluded_ml bigint, quality text, reasons text[], complete boolean, days integer, measured_days integer,
               interpolated_days integer, estimated_days integer, edited_days integer)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH begun AS (
        SELECT i.*, (GREATEST(i.valid_from, '2000-01-01Z') AT TIME ZONE zone)::date AS from_local,
               (LEAST(i.valid_to - INTERVAL '1 us', '2100-01-01Z') AT TIME ZONE zone)::date AS to_local
        FROM installations i
        WHERE (only_meters IS NULL OR i.meter_id = ANY (only_meters))
          AND NOT EXISTS (SELECT FROM zone_flows f WHERE f.meter_id = i.meter_id AND f.direction = 'in'
                          AND (i.valid_to IS NULL OR f.valid_from < i.valid_to)
                          AND (f.valid_to IS NULL OR f.valid_to > i.valid_from))
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
    FROM summed s;
END $$;

-- Another begin, end or multiplier of an installation, or a meter that turns out to be a district's inlet, changes what
-- closed periods billed. Each period that it may change is touched at one settled day of the meter: settling that day looks
-- at the whole period again (billing_recheck). Ten o'clock UTC lies in that local day from UTC-10 to UTC+13.
CREATE FUNCTION touch_closed_periods(meters bigint[], since timestamptz[], until timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7310188002);   -- metering.billing.CLOSING_LOCK: not while a period is closed
    INSERT INTO touched_spans (meter_id, from_ts, to_ts)
    SELECT c.meter_id, t.ts, t.ts
    FROM unnest(meters, since, until) AS c (meter_id, since, until)
    JOIN billing_periods p ON p.state = 'closed' AND c.since < p.last_day + INTERVAL '2 days'
                          AND c.until > p.first_day - INTERVAL '1 day'
    CROSS JOIN LATERAL (SELECT min(d.day) AS day FROM settled_days d
                        WHERE d.meter_id = c.meter_id AND d.day BETWEEN p.first_day AND p.last_day) first
    CROSS JOIN LATERAL (SELECT first.day::timestamp AT TIME ZONE 'UTC' + INTERVAL '10 hours' AS ts) t
    WHERE first.day IS NOT NULL;
END $$;
REVOKE ALL ON FUNCTION touch_closed_periods(bigint[], timestamptz[], timestamptz[]) FROM PUBLIC;

CREATE FUNCTION installations_rebilled() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM touch_closed_periods(array_agg(meter_id), array_agg(valid_from), array_agg(COALESCE(valid_to, 'infinity')))
        FROM new_rows HAVING count(*) > 0;
    ELSE    -- of one that only ends otherwise, what lies between the two ends
        PERFORM touch_closed_periods(array_agg(meter_id), array_agg(since), array_agg(until))
        FROM (SELECT n.meter_id,
                     CASE WHEN (n.valid_from, n.multiplier) IS DISTINCT FROM (o.valid_from, o.multiplier)
                          THEN LEAST(n.valid_from, o.valid_from) ELSE LEAST(n.valid_to, o.valid_to) END AS since,
                     GREATEST(COALESCE(n.valid_to, 'infinity'), COALESCE(o.valid_to, 'infinity')) AS until
              FROM new_rows n JOIN old_rows o USING (installation_id)
              WHERE (n.valid_from, n.valid_to, n.multiplier) IS DISTINCT FROM (o.valid_from, o.valid_to, o.multiplier)
             ) changed
        HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER installations_rebilled_added AFTER INSERT ON installations
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION installations_rebilled();
CREATE TRIGGER installations_rebilled_changed AFTER UPDATE ON installations
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION installations_rebilled();

CREATE FUNCTION zone_flows_rebilled() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM touch_closed_periods(array_agg(meter_id), array_agg('-infinity'::timestamptz),
                                 array_agg('infinity'::timestamptz))
    FROM (SELECT DISTINCT meter_id FROM new_rows) counted HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER zone_flows_rebilled_added AFTER INSERT ON zone_flows
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION zone_flows_rebilled();
CREATE TRIGGER zone_flows_rebilled_changed AFTER UPDATE ON zone_flows
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION zone_flows_rebilled();

-- Entries never change, and a list of periods need not add up millions of them.
ALTER TABLE billing_periods ADD COLUMN entries bigint NOT NULL DEFAULT 0, ADD COLUMN billed_ml bigint NOT NULL DEFAULT 0;
UPDATE billing_periods p SET entries = e.entries, billed_ml = e.billed_ml
FROM (SELECT period_id, count(*) AS entries, sum(billed_ml)::bigint AS billed_ml FROM billing_entries GROUP BY 1) e
WHERE e.period_id = p.period_id;
