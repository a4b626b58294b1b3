"""What the database knows of silent meters and of those they share a radio cell, a zone or a door with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .alerts import instant
from .outage_groups import Group, Heard, Silent, enough_heard

RHYTHM_REPORTS = 8
"""A meter's usual pause is the median of those between its newest so many reports."""
MAX_LOOKS = 10
"""Groups whose reports are read in one round, because their newest do not tell."""
OVER_AT = "COALESCE(a.ended_at, CASE WHEN a.state = 'resolved' THEN a.closed_at END)"
"""When an outage `a` ended, or a person said that it had."""
EVERYBODY = "all"
"""Key of the one group of kind 'platform'."""

_DOOR = "CASE r.authentication WHEN 'pusher' THEN r.door || ' ' || split_part(r.source, ' ', 1) ELSE r.door END"
"""A door; of pushers, whose source begins with their product, with that."""

_SILENT = f"""
SELECT i.meter_id, extract(epoch FROM l.last_report_at)::bigint AS heard_at_s, l.cell_id AS cell, sp.zone_id AS zone,
       CASE WHEN r.report_id IS NOT NULL THEN {_DOOR} END AS door,
       LEAST(COALESCE(rhythm.usual_s, 0), $2::float8)::bigint AS usual_s,
       EXISTS (SELECT FROM alert_meters am JOIN alerts a USING (alert_id)
               WHERE am.meter_id = i.meter_id AND {OVER_AT} >= l.last_report_at) AS was_out
FROM unnest($1::bigint[]) AS s (meter_id)
JOIN installations i ON i.meter_id = s.meter_id AND i.valid_to IS NULL
JOIN service_points sp USING (service_point_id)
JOIN device_latest l ON l.device_id = i.device_id
LEFT JOIN reports r ON r.received_at = l.last_report_at AND r.report_id = l.last_report_id
CROSS JOIN LATERAL (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY apart_s) AS usual_s
    FROM (SELECT extract(epoch FROM received_at - lag(received_at) OVER (ORDER BY received_at)) AS apart_s
          FROM (SELECT received_at FROM reports
                WHERE meter_id = i.meter_id AND device_id = i.device_id AND received_at <= l.last_report_at
                  AND received_at > l.last_report_at - make_interval(secs => $2::float8 * $3::int)
                ORDER BY received_at DESC LIMIT $3::int) newest) pauses
) rhythm"""  # noqa: S608 - joins constants

_HEARD = f"""
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int[])
        AS a (kind, key, from_at, until_at, most)
), heard AS (
    SELECT a.kind, a.key, l.last_report_at AS at
    FROM asked a JOIN device_latest l ON l.cell_id::text = a.key WHERE a.kind = 'cell'
    UNION ALL
    SELECT a.kind, a.key, l.last_report_at
    FROM asked a
    JOIN service_points sp ON sp.zone_id::text = a.key
    JOIN installations i ON i.service_point_id = sp.service_point_id AND i.valid_to IS NULL
    JOIN device_latest l USING (device_id) WHERE a.kind = 'zone'
    UNION ALL
    SELECT a.kind, a.key, l.last_report_at FROM asked a CROSS JOIN device_latest l WHERE a.kind = 'platform'
    UNION ALL
    SELECT a.kind, a.key, newest.received_at
    FROM asked a
    CROSS JOIN LATERAL (
        SELECT r.received_at FROM reports r
        JOIN device_latest l ON l.device_id = r.device_id AND l.last_report_id = r.report_id
        WHERE {_DOOR} = a.key AND r.received_at >= LEAST(a.from_at, $6) ORDER BY r.received_at DESC LIMIT a.most
    ) newest WHERE a.kind = 'door'
)
SELECT kind, key, count(*) FILTER (WHERE at >= GREATEST(from_at, $6)) AS since,
       count(*) FILTER (WHERE at >= GREATEST(from_at, $6) AND at <= until_at) AS within,
       COALESCE(extract(epoch FROM max(at) FILTER (WHERE at < from_at)), 0)::bigint AS before_s
FROM heard JOIN asked USING (kind, key) GROUP BY kind, key"""  # noqa: S608 - joins constants

_REPORTED = f"""
SELECT a.kind, a.key, reported.devices
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int[])
    AS a (kind, key, from_at, until_at, most)
CROSS JOIN LATERAL (
    SELECT count(*) AS devices FROM (
        SELECT DISTINCT r.device_id FROM reports r
        JOIN device_latest l ON l.device_id = r.device_id AND l.last_report_at >= $6
        WHERE r.received_at >= a.from_at AND r.received_at <= a.until_at
          AND CASE a.kind WHEN 'cell' THEN l.cell_id::text = a.key WHEN 'door' THEN {_DOOR} = a.key
                          WHEN 'zone' THEN r.meter_id IN (
                              SELECT i.meter_id FROM installations i JOIN service_points sp USING (service_point_id)
                              WHERE i.valid_to IS NULL AND sp.zone_id::text = a.key)
                          ELSE true END
        LIMIT a.most) counted
) reported"""  # noqa: S608 - joins constants


async def silent_meters(connection: Any, meters: Sequence[int], after_s: float) -> list[Silent]:
    """Of these meters those that ever reported. A usual pause is at most `after_s`: who is quiet so long is silent."""
    rows = await connection.fetch(_SILENT, meters, after_s, RHYTHM_REPORTS)
    return [
        Silent(row["meter_id"], row["heard_at_s"], row["heard_at_s"] + row["usual_s"], _shares(row), row["was_out"])
        for row in rows
    ]


def _shares(row: Mapping[str, Any]) -> dict[str, str]:
    shares = {kind: str(row[kind]) for kind in ("cell", "zone", "door") if row[kind] is not None}
    return {**shares, "platform": EVERYBODY}


async def heard_of(connection: Any, groups: Iterable[Group], silent_before: datetime, min_share: float) -> list[Heard]:
    """What each group's newest reports say. Of a door no more are read than make it no outage."""
    asked = list(groups)
    rows = await connection.fetch(_HEARD, *_asked(asked, min_share), silent_before)
    found = {(row["kind"], row["key"]): Heard(row["since"], row["within"], row["before_s"]) for row in rows}
    return [found.get((group.kind, group.key), Heard(0, 0, 0)) for group in asked]


async def reported_within(
    connection: Any, groups: Sequence[Group], silent_before: datetime, min_share: float
) -> list[int]:
    """How many meters of each group, silent ones left out, reported while the silent ones were due; no more are counted
    than make it no outage. Reads the reports of that time."""
    rows = await connection.fetch(_REPORTED, *_asked(groups, min_share), silent_before)
    found = {(row["kind"], row["key"]): row["devices"] for row in rows}
    return [found[group.kind, group.key] for group in groups]


def _asked(groups: Sequence[Group], min_share: float) -> tuple[list[Any], ...]:
    return (
        [group.kind for group in groups], [group.key for group in groups],
        [instant(group.from_s) for group in groups], [instant(group.until_s) for group in groups],
        [enough_heard(group.missing, min_share) for group in groups],
    )  # fmt: skip
