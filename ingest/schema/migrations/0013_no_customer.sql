-- Nobody is billed for what a district takes in: the customers behind the inlet are. A meter that only lets water out may
-- be that of a buyer of bulk water, and stays. An inlet that a closed period billed gets a correction with its next day.
CREATE OR REPLACE FUNCTION billing_lines(from_day date, to_day date, zone text, only_meters bigint[])
RETURNS TABLE (installation_id bigint, meter_id bigint, service_point_id bigint, multiplier integer, first_day date,
               last_day date, start_index_ml bigint, end_index_ml bigint, consumption_ml bigint, billed_ml bigint,
               excluded_ml bigint, quality text, reasons text[], complete boolean, days integer, measured_days integer,
               interpolated_days integer, estimated_days integer, edited_days integer)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH begun AS (
        SELECT i.*, (GREATEST(i.valid_from, '2000-01-01Z') AT TIME ZONE zone)::date AS from_local,
               (LEAST(i.valid_to, '2100-01-01Z') AT TIME ZONE zone)::date AS to_local
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
    FROM summed s
$$;
