"""One event for the silence of many: raised when most meters of a zone, a radio cell or a door fell silent together,
ended when most are heard again. Its meters raise no silence alerts of their own while it lasts.
"""

from __future__ import annotations

import json
from typing import Any

from prometheus_client import Counter

from metering.settings import OutageSettings

from .alerts import instant
from .outage_groups import Candidate, Silent, candidates, is_outage

OUTAGE = "outage"
"""Kinds are 'outage:cell', 'outage:zone', 'outage:door'."""
MAX_SAMPLE = 20
"""Serials in the evidence; all meters stand in alert_meters."""
MAX_EVENTS = 100
"""Raised in one round."""
RECENT_S = 7 * 86_400
"""Who is silent for longer is not part of something that happened now."""

RAISED = Counter("nbwater_settlement_outages_total", "Events in which many meters fell silent together", ["kind"])

_SHARED = """
SELECT s.meter_id, s.heard_at_s, l.cell_id, sp.zone_id, r.door, r.source
FROM unnest($1::bigint[], $2::bigint[]) AS s (meter_id, heard_at_s)
JOIN installations i ON i.meter_id = s.meter_id AND i.valid_to IS NULL
JOIN service_points sp USING (service_point_id)
JOIN device_latest l ON l.device_id = i.device_id
LEFT JOIN (SELECT report_id, door, source FROM reports WHERE received_at >= to_timestamp($3::bigint)
           AND received_at <= to_timestamp($4::bigint)) r ON r.report_id = l.last_report_id"""

_MEMBERS = """
SELECT i.meter_id, m.serial, extract(epoch FROM l.last_report_at)::bigint AS heard_at_s
FROM installations i
JOIN devices d ON d.device_id = i.device_id AND d.enabled
JOIN service_points sp USING (service_point_id)
JOIN device_latest l ON l.device_id = i.device_id
JOIN meters m ON m.meter_id = i.meter_id
WHERE i.valid_to IS NULL AND l.last_report_at >= to_timestamp($2::bigint) AND {shared}"""
_MEMBERS_OF = {
    "cell": _MEMBERS.format(shared="l.cell_id = $1::text::bigint"),
    "zone": _MEMBERS.format(shared="sp.zone_id = $1::text::bigint"),
    "door": _MEMBERS.format(
        shared="i.meter_id IN (SELECT meter_id FROM reports WHERE received_at >= to_timestamp($2::bigint - 86400) "
        "AND CASE WHEN position(' ' IN source) > 0 THEN door || ' ' || split_part(source, ' ', 1) ELSE door END = $1 "
        "AND reason IS DISTINCT FROM 'foreign_device')"
    ),
}
_NAMES = {"zone": "SELECT code || ' ' || name FROM zones WHERE zone_id = $1::text::bigint"}

_RAISE = """
INSERT INTO alerts (kind, severity, started_at, raised_at, last_seen_at, evidence)
VALUES ($1, 'critical', $2, $4, $4, $3::jsonb) RETURNING alert_id"""
_NOTE = "INSERT INTO alert_events (alert_id, to_state, actor) VALUES ($1, 'open', 'platform')"
_ADD = "INSERT INTO alert_meters (alert_id, meter_id) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING"

_HEARD = """
SELECT a.alert_id, count(*) AS meters, count(*) FILTER (WHERE l.last_report_at > a.raised_at) AS heard,
       max(l.last_report_at) AS at
FROM alerts a
JOIN alert_meters am USING (alert_id)
LEFT JOIN installations i ON i.meter_id = am.meter_id AND i.valid_to IS NULL
LEFT JOIN device_latest l ON l.device_id = i.device_id
WHERE a.kind LIKE 'outage:%' AND a.ended_at IS NULL AND a.state <> 'resolved'
GROUP BY a.alert_id"""
_END = "UPDATE alerts SET ended_at = $2 WHERE alert_id = $1"


async def raise_outages(connection: Any, silent: list[tuple[int, int]], now_s: int, settings: OutageSettings) -> int:
    """Groups the silent meters (id, heard at) that nobody was told of yet; how many events that made.

    Joins the caller's transaction.
    """
    recent = [(meter_id, heard_s) for meter_id, heard_s in silent if heard_s >= now_s - RECENT_S]
    if len(recent) < settings.min_meters:
        return 0
    meters, times = zip(*recent, strict=True)
    rows = await connection.fetch(_SHARED, meters, times, min(times) - 1, max(times) + 1)
    known = [Silent(row["meter_id"], row["heard_at_s"], _shares(row)) for row in rows]
    told: set[int] = set()
    raised = 0
    for group in candidates(known, settings.min_meters, int(settings.within_h * 3_600)):
        if raised < MAX_EVENTS and len(group.meters - told) >= settings.min_meters:
            members = await _raise(connection, group, told, now_s, settings)
            told |= members
            raised += bool(members)
    return raised


def _shares(row: Any) -> dict[str, str]:
    shares = {"cell": row["cell_id"], "zone": row["zone_id"], "door": row["door"]}
    if row["door"] and " " in row["source"]:  # pushers name their product first
        shares["door"] = f"{row['door']} {row['source'].partition(' ')[0]}"
    return {kind: str(value) for kind, value in shares.items() if value is not None}


async def _raise(connection: Any, group: Candidate, told: set[int], now_s: int, settings: OutageSettings) -> set[int]:
    """The meters of the event; none when the others of the group go on reporting."""
    members = await connection.fetch(_MEMBERS_OF[group.kind], group.key, group.from_s - 1)
    silent = [row for row in members if row["heard_at_s"] <= group.to_s + 1 and row["meter_id"] not in told]
    there = sum(row["meter_id"] not in told for row in members)
    if not is_outage(len(silent), there, settings.min_meters, settings.min_share):
        return set()
    name = await connection.fetchval(_NAMES[group.kind], group.key) if group.kind in _NAMES else None
    evidence = {
        "group": group.kind, "key": name or group.key, "silent": len(silent), "meters": there,
        "last_heard_from": instant(group.from_s).isoformat(), "last_heard_to": instant(group.to_s).isoformat(),
        "sample": sorted(row["serial"] for row in silent)[:MAX_SAMPLE],
    }  # fmt: skip
    kind = f"{OUTAGE}:{group.kind}"
    alert_id = await connection.fetchval(_RAISE, kind, instant(group.to_s), json.dumps(evidence), instant(now_s))
    await connection.execute(_NOTE, alert_id)
    meters = [row["meter_id"] for row in silent]
    await connection.execute(_ADD, alert_id, meters)
    RAISED.labels(group.kind).inc()
    return set(meters)


async def end_outages(connection: Any, settings: OutageSettings) -> int:
    """Ends events of which so many meters are heard again that it would not be raised today; how many. Who of the rest
    is not heard soon is then silent by itself."""
    ended = 0
    for row in await connection.fetch(_HEARD):
        if not is_outage(row["meters"] - row["heard"], row["meters"], settings.min_meters, settings.min_share):
            await connection.execute(_END, row["alert_id"], row["at"])
            ended += 1
    return ended
