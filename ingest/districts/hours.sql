-- What went into each district, out of it and to its customers in the hour from $1 on. One row per district that has
-- an inlet then. $2: how many hours to either side a reading may lie; $3: hours of Q4 that may flow in one hour;
-- $4: the local days from which a meter's usual use is learnt; $5, $6: only these districts, and all of their meters
-- (NULL: all).
WITH RECURSIVE flows AS (
    SELECT zone_id, meter_id, direction FROM zone_flows
    WHERE valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1) AND ($5::bigint[] IS NULL OR zone_id = ANY ($5))
), below AS (
    SELECT DISTINCT zone_id AS district, zone_id FROM flows WHERE direction = 'in'
    UNION
    SELECT b.district, z.zone_id FROM zones z JOIN below b ON z.parent_id = b.zone_id
), steps AS (
    SELECT meter_id, ts, index_ml, lag(ts) OVER w AS from_ts, lag(index_ml) OVER w AS from_ml
    FROM readings
    WHERE ts >= $1::timestamptz - make_interval(hours => $2) AND ts <= $1::timestamptz + make_interval(hours => $2 + 1)
      AND ($6::bigint[] IS NULL OR meter_id = ANY ($6))
    WINDOW w AS (PARTITION BY meter_id ORDER BY ts, kind)
), water AS (
    SELECT s.meter_id, sum((s.index_ml - s.from_ml) * (part.inside / part.length)) AS volume_ml, sum(part.inside) AS covered_s
    FROM steps s JOIN meters m USING (meter_id)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM s.ts - s.from_ts)::float8 AS length,
               extract(epoch FROM LEAST(s.ts, $1::timestamptz + interval '1 hour') - GREATEST(s.from_ts, $1))::float8 AS inside
    ) part
    WHERE s.from_ts < $1::timestamptz + interval '1 hour' AND s.ts > $1 AND s.ts > s.from_ts
      AND s.index_ml >= s.from_ml
      AND s.index_ml - s.from_ml <= $3 * 1250.0 * m.q3_l_h * part.length / 3600 + m.pulse_ml
    GROUP BY s.meter_id
), known AS (
    SELECT meter_id, volume_ml FROM water WHERE covered_s >= 3599.999
), usual AS (
    SELECT meter_id, avg(consumption_ml)::float8 / 24 AS hour_ml FROM settled_days
    WHERE day = ANY($4::date[]) AND complete AND ($6::bigint[] IS NULL OR meter_id = ANY ($6)) GROUP BY meter_id
), leaking AS (
    SELECT meter_id, max(rate_ml_h) AS rate_ml_h FROM alerts
    WHERE state IN ('open', 'acknowledged') AND ended_at IS NULL AND rate_ml_h > 0 AND meter_id IS NOT NULL
    GROUP BY meter_id
), customers AS (
    SELECT b.district, count(*) AS meters, count(k.volume_ml) AS measured,
           COALESCE(sum(k.volume_ml * i.multiplier), 0) AS volume_ml,
           COALESCE(sum((k.volume_ml * i.multiplier) ^ 2), 0) AS squares,
           COALESCE(sum((m.pulse_ml::float8 * i.multiplier) ^ 2) FILTER (WHERE k.volume_ml IS NOT NULL), 0) AS counts,
           sum(u.hour_ml * i.multiplier) FILTER (WHERE k.volume_ml IS NOT NULL) AS usual_known_ml,
           COALESCE(sum(u.hour_ml * i.multiplier) FILTER (WHERE k.volume_ml IS NULL), 0) AS usual_missing_ml,
           COALESCE(sum((u.hour_ml * i.multiplier) ^ 2) FILTER (WHERE k.volume_ml IS NULL), 0) AS missing_squares,
           count(*) FILTER (WHERE k.volume_ml IS NULL AND u.hour_ml IS NULL) AS strangers,
           COALESCE(sum(l.rate_ml_h * i.multiplier) FILTER (WHERE k.volume_ml IS NULL), 0)::float8 AS leaking_ml
    FROM below b
    JOIN service_points sp USING (zone_id)
    JOIN installations i ON i.service_point_id = sp.service_point_id
        AND i.valid_from <= $1 AND (i.valid_to IS NULL OR i.valid_to > $1)
    JOIN meters m USING (meter_id)
    LEFT JOIN known k USING (meter_id)
    LEFT JOIN usual u USING (meter_id)
    LEFT JOIN leaking l USING (meter_id)
    WHERE NOT EXISTS (SELECT FROM zone_flows f WHERE f.meter_id = i.meter_id)
    GROUP BY b.district
), bulk AS (
    SELECT f.zone_id AS district,
           CASE WHEN bool_and(k.volume_ml IS NOT NULL) FILTER (WHERE direction = 'in')
                THEN sum(k.volume_ml * COALESCE(i.multiplier, 1)) FILTER (WHERE direction = 'in') END AS inlet_ml,
           CASE WHEN count(*) FILTER (WHERE direction = 'out') = 0 THEN 0
                WHEN bool_and(k.volume_ml IS NOT NULL) FILTER (WHERE direction = 'out')
                THEN sum(k.volume_ml * COALESCE(i.multiplier, 1)) FILTER (WHERE direction = 'out') END AS outlet_ml
    FROM flows f
    LEFT JOIN known k USING (meter_id)
    LEFT JOIN installations i ON i.meter_id = f.meter_id
        AND i.valid_from <= $1 AND (i.valid_to IS NULL OR i.valid_to > $1)
    GROUP BY f.zone_id
)
SELECT b.district, b.inlet_ml, b.outlet_ml, COALESCE(c.meters, 0) AS meters, COALESCE(c.measured, 0) AS measured,
       COALESCE(c.volume_ml, 0) AS volume_ml, COALESCE(c.squares, 0) AS squares, COALESCE(c.counts, 0) AS counts,
       c.usual_known_ml, COALESCE(c.usual_missing_ml, 0) AS usual_missing_ml,
       COALESCE(c.missing_squares, 0) AS missing_squares, COALESCE(c.strangers, 0) AS strangers,
       COALESCE(c.leaking_ml, 0) AS leaking_ml
FROM bulk b LEFT JOIN customers c USING (district)
ORDER BY b.district
