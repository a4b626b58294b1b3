-- Bills of a city of a million meters.

-- As before, without sorting all days of all meters: only the days at a line's ends tell its indices, and where one of
-- them is missing, the nearest is looked up. Days without a remark cost no text.
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
               min(d.day) AS first_known, max(d.day) AS last_known,
               max(d.start_index_ml) FILTER (WHERE d.day = h.starts) AS start_index_ml,
               max(d.end_index_ml) FILTER (WHERE d.day = h.ends) AS end_index_ml,
               sum(d.consumption_ml)::bigint AS consumption_ml, sum(d.excluded_ml)::bigint AS excluded_ml,
               string_agg(array_to_string(d.reasons, ','), ',') FILTER (WHERE d.reasons <> '{}') AS reasons,
               bool_and(d.complete) AS complete, count(*)::integer AS days,
               (count(*) FILTER (WHERE d.quality = 'measured'))::integer AS measured_days,
               (count(*) FILTER (WHERE d.quality = 'interpolated'))::integer AS interpolated_days,
               (count(*) FILTER (WHERE d.quality = 'estimated'))::integer AS estimated_days,
               (count(*) FILTER (WHERE d.quality = 'edited'))::integer AS edited_days
        FROM held h
        JOIN settled_days d ON d.meter_id = h.meter_id AND d.day BETWEEN from_day AND to_day
                           AND d.day BETWEEN h.starts AND h.ends
        GROUP BY h.installation_id, h.meter_id, h.service_point_id, h.multiplier, h.starts, h.ends
    )
    SELECT s.installation_id, s.meter_id, s.service_point_id, s.multiplier, s.starts, s.ends,
           COALESCE(s.start_index_ml, (SELECT d.start_index_ml FROM settled_days d
                                       WHERE d.meter_id = s.meter_id AND d.day = s.first_known
                                         AND d.day BETWEEN from_day AND to_day)),
           COALESCE(s.end_index_ml, (SELECT d.end_index_ml FROM settled_days d
                                     WHERE d.meter_id = s.meter_id AND d.day = s.last_known
                                       AND d.day BETWEEN from_day AND to_day)),
           s.consumption_ml, s.consumption_ml * s.multiplier, s.excluded_ml,
           CASE WHEN s.estimated_days > 0 THEN 'estimated' WHEN s.interpolated_days > 0 THEN 'interpolated'
                WHEN s.edited_days > 0 THEN 'edited' ELSE 'measured' END,
           CASE WHEN s.reasons IS NULL THEN '{}'::text[]
                ELSE ARRAY(SELECT DISTINCT r FROM unnest(string_to_array(s.reasons, ',')) r ORDER BY r) END,
           s.complete AND s.days = s.ends - s.starts + 1, s.days, s.measured_days, s.interpolated_days,
           s.estimated_days, s.edited_days
    FROM summed s;
END $$;

-- A page of an export, and a recheck, ask for meters of one period: by meter alone, what every period billed them was
-- read. By period, a closing writes at the end of the index.
DROP INDEX billing_entries_meter_id_idx;
CREATE INDEX ON billing_entries (period_id, meter_id);

-- The ledger in pages: of a period, and what is billed with it; without the second, dropping a period read all corrections.
CREATE INDEX ON billing_corrections (period_id, correction_id);
CREATE INDEX ON billing_corrections (carried_to, correction_id) WHERE carried_to IS NOT NULL;

-- As before, but who changes an installation does not wait for the minutes in which a city's period is closed (the api gives
-- a statement 15 s): he notes it for the open periods, too. What closing did not see is settled again after it, and looked
-- at then. Where nothing is being closed the lock is taken, and closing waits for him.
CREATE OR REPLACE FUNCTION touch_closed_periods(meters bigint[], since timestamptz[], until timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    none_is_closed_meanwhile boolean := pg_try_advisory_xact_lock_shared(7310188002);    -- metering.billing.CLOSING_LOCK
BEGIN
    INSERT INTO touched_spans (meter_id, from_ts, to_ts)
    SELECT c.meter_id, t.ts, t.ts
    FROM unnest(meters, since, until) AS c (meter_id, since, until)
    JOIN billing_periods p ON (p.state = 'closed' OR NOT none_is_closed_meanwhile)
                          AND c.since < p.last_day + INTERVAL '2 days' AND c.until > p.first_day - INTERVAL '1 day'
    CROSS JOIN LATERAL (SELECT min(d.day) AS day FROM settled_days d
                        WHERE d.meter_id = c.meter_id AND d.day BETWEEN p.first_day AND p.last_day) first
    CROSS JOIN LATERAL (SELECT first.day::timestamp AT TIME ZONE 'UTC' + INTERVAL '10 hours' AS ts) t
    WHERE first.day IS NOT NULL;
END $$;
