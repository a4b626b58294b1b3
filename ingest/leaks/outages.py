"""One event for the silence of many: raised when hardly anybody of a radio cell, a zone, a door or the platform reports
where many are due, ended when as many are heard as are missing. Who falls silent meanwhile joins it, and raises no
silence alert of its own before it had the time of one report after the end; alerts raised before are merged into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from prometheus_client import Counter

from metering.settings import OutageSettings

from .alerts import instant
from .closed_by_platform import Reason
from .outage_groups import Group, Outage, Silent, best_first, groups, is_outage, outage
from .outage_rows import MAX_LOOKS, OVER_AT, heard_of, reported_within, silent_meters

OUTAGE = "outage"
"""Kinds are 'outage:cell', 'outage:zone', 'outage:door', 'outage:platform'."""
MAX_SAMPLE = 20
"""Serials in the evidence; all meters stand in alert_meters."""
MAX_TOLD = 5_000
"""Silence alerts looked at in one round, whether they are part of an outage."""
RECENT_S = 7 * 86_400
"""Who was silent for so long when the newest report came is not part of something that happened now."""

RAISED = Counter("nbwater_settlement_outages_total", "Events in which many meters fell silent together", ["kind"])

_TOLD = """
SELECT meter_id FROM alerts
WHERE kind = 'silent' AND state IN ('open', 'acknowledged') AND ended_at IS NULL
  AND raised_at >= $1::timestamptz - make_interval(secs => $2) AND started_at >= $1 - make_interval(secs => 2 * $2)
ORDER BY raised_at DESC LIMIT $3"""

_EVENTS = """
SELECT a.alert_id, a.evidence->>'group' AS kind, COALESCE(a.evidence->>'id', a.evidence->>'key') AS key, a.started_at,
       count(*) FILTER (WHERE l.last_report_at < $1) AS missing, count(*) FILTER (WHERE l.last_report_at >= $1) AS heard
FROM alerts a
JOIN alert_meters am USING (alert_id)
LEFT JOIN installations i ON i.meter_id = am.meter_id AND i.valid_to IS NULL
LEFT JOIN device_latest l ON l.device_id = i.device_id
WHERE a.kind LIKE 'outage:%' AND a.ended_at IS NULL AND a.state <> 'resolved'
GROUP BY a.alert_id"""
_END = "UPDATE alerts SET ended_at = GREATEST($2, started_at) WHERE alert_id = $1"

_JOIN = f"""
WITH joined AS (
    INSERT INTO alert_meters (alert_id, meter_id)
    SELECT max(a.alert_id), s.meter_id
    FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[]) AS s (meter_id, due_at, kind, key)
    JOIN alerts a ON a.kind = s.kind AND COALESCE(a.evidence->>'id', a.evidence->>'key') = s.key
    WHERE a.kind LIKE 'outage:%' AND (
        {OVER_AT} IS NULL OR {OVER_AT} >= $5 AND s.due_at <= {OVER_AT})
    GROUP BY s.meter_id
    ON CONFLICT DO NOTHING RETURNING alert_id, meter_id
), counted AS (
    UPDATE alerts a SET last_seen_at = GREATEST(last_seen_at, $6), evidence = evidence || jsonb_build_object(
        'silent', (evidence->>'silent')::int + n, 'meters', (evidence->>'meters')::int + n)
    FROM (SELECT alert_id, count(*)::int AS n FROM joined GROUP BY alert_id) new WHERE a.alert_id = new.alert_id
)
SELECT meter_id FROM joined"""  # noqa: S608 - joins constants

_RAISE = """
INSERT INTO alerts (kind, severity, started_at, raised_at, last_seen_at, evidence)
VALUES ($1, 'critical', $2, $4, $4, $3::jsonb) RETURNING alert_id"""
_NOTE = "INSERT INTO alert_events (alert_id, at, to_state, actor) VALUES ($1, $2, 'open', 'platform')"
_MERGE = """
WITH merged AS (
    UPDATE alerts
    SET state = 'resolved', closed_at = $4, evidence = evidence || jsonb_build_object('outage', $1::bigint)
    WHERE meter_id = ANY ($2::bigint[]) AND kind = 'silent' AND state = 'open' AND ended_at IS NULL AND raised_at >= $3
    RETURNING alert_id, meter_id
), noted AS (
    INSERT INTO alert_events (alert_id, at, from_state, to_state, actor, reason)
    SELECT alert_id, $4, 'open', 'resolved', 'platform', $5 FROM merged
)
SELECT meter_id FROM merged"""
_ADD = "INSERT INTO alert_meters (alert_id, meter_id) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING"
_SAMPLE = "SELECT serial FROM meters WHERE meter_id = ANY ($1::bigint[]) ORDER BY serial LIMIT $2"
_ZONE = "SELECT code || ' ' || name FROM zones WHERE zone_id = $1::text::bigint"


class Round(NamedTuple):
    """The times of one look."""

    now: datetime
    newest: datetime
    """The newest report of any meter."""
    silent_before: datetime
    """Who was not heard since is silent."""
    after_s: float
    """Time that a silent meter had."""


async def take_in(connection: Any, silent: Sequence[int], at: Round, settings: OutageSettings) -> set[int]:
    """Which of the silent meters that nobody was told of yet are part of an outage: one that is known, or one that is
    raised now. Joins the caller's transaction."""
    if not silent:
        return set()
    recent_s = at.newest.timestamp() - RECENT_S
    known = [one for one in await silent_meters(connection, silent, at.after_s) if one.heard_at_s >= recent_s]
    taken = await _join(connection, known, at)
    fresh = [one for one in known if one.meter_id not in taken]
    told = [row["meter_id"] for row in await connection.fetch(_TOLD, at.now, at.after_s, MAX_TOLD)] if fresh else []
    if len(fresh) + len(told) >= settings.min_meters:
        before = await silent_meters(connection, told, at.after_s)
        taken |= await _raise_new(connection, fresh, before, at, settings)
    return taken


async def _join(connection: Any, silent: Iterable[Silent], at: Round) -> set[int]:
    """Into an event that goes on, or that ended after the meter was due."""
    rows = [
        (one.meter_id, instant(one.due_at_s), f"{OUTAGE}:{kind}", key)
        for one in silent for kind, key in one.shares.items()
    ]  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * 4
    joined = await connection.fetch(_JOIN, *columns, at.silent_before, at.now)
    return {row["meter_id"] for row in joined}


async def _raise_new(
    connection: Any, fresh: Sequence[Silent], told: Sequence[Silent], at: Round, settings: OutageSettings
) -> set[int]:
    taken: set[int] = set()
    everybody = [*fresh, *told]
    untold = {one.meter_id for one in fresh}
    lasting, unclear = await _lasting(connection, everybody, at, settings)
    found = lasting + await _over(connection, everybody, unclear, at, settings)
    for one in best_first(found):
        members = {meter.meter_id for meter in one.group.silent} - taken
        if len(members) >= settings.min_meters:
            taken |= await _raise(connection, one, members & untold, members - untold, at)
    return taken


async def _lasting(
    connection: Any, silent: Sequence[Silent], at: Round, settings: OutageSettings
) -> tuple[list[Outage], set[tuple[str, str]]]:
    """Outages that go on: hardly anybody of the group was heard since. And the groups of which the newest reports leave
    it open: meters that are heard now may have been so all the time, or be back."""
    asked = groups(silent, settings.min_meters)
    found: list[Outage] = []
    unclear: set[tuple[str, str]] = set()
    everybody_heard = await heard_of(connection, asked, at.silent_before, settings.min_share)
    for group, heard in zip(asked, everybody_heard, strict=True):
        if is_outage(group.missing, heard.since, settings.min_meters, settings.min_share):
            found.append(outage(group, heard.since, heard.before_s))
        elif is_outage(group.missing, heard.within, settings.min_meters, settings.min_share):
            unclear.add((group.kind, group.key))
    return found, unclear


async def _over(
    connection: Any, silent: Sequence[Silent], unclear: set[tuple[str, str]], at: Round, settings: OutageSettings
) -> list[Outage]:
    """Outages that are over: the reports of the time in question are read. Who had the time after one already is
    silent by itself."""
    longest_s = settings.within_h * 3_600
    asked = [
        group for group in groups((one for one in silent if not one.was_out), settings.min_meters)
        if (group.kind, group.key) in unclear and group.until_s - group.from_s <= longest_s
    ][:MAX_LOOKS]  # fmt: skip
    heard = await heard_of(connection, asked, at.silent_before, settings.min_share)
    reported = await reported_within(connection, asked, at.silent_before, settings.min_share)
    return [
        outage(group, devices, before.before_s)
        for group, devices, before in zip(asked, reported, heard, strict=True)
        if is_outage(group.missing, devices, settings.min_meters, settings.min_share)
    ]


async def _raise(connection: Any, found: Outage, untold: set[int], told: set[int], at: Round) -> set[int]:
    """The meters of the new event. Alerts that a person has taken, or that were there before it began, stay."""
    group, began = found.group, instant(found.began_s)
    name = "" if group.kind == "platform" else group.key
    if group.kind == "zone":
        name = await connection.fetchval(_ZONE, group.key)
    kind = f"{OUTAGE}:{group.kind}"
    alert_id = await connection.fetchval(_RAISE, kind, began, "{}", at.now)
    await connection.execute(_NOTE, alert_id, at.now)
    merged = await connection.fetch(_MERGE, alert_id, list(told), began, at.now, Reason.OUTAGE)
    meters = untold | {row["meter_id"] for row in merged}
    await connection.execute(_ADD, alert_id, list(meters))
    evidence = {
        "group": group.kind, "id": group.key, "key": name, "silent": len(meters), "meters": len(meters) + found.heard,
        "sample": [row["serial"] for row in await connection.fetch(_SAMPLE, list(meters), MAX_SAMPLE)],
    }  # fmt: skip
    await connection.execute(
        "UPDATE alerts SET evidence = $2::jsonb WHERE alert_id = $1", alert_id, json.dumps(evidence)
    )
    RAISED.labels(group.kind).inc()
    return meters


async def end_outages(connection: Any, at: Round) -> None:
    """Ends events of whose group as many were heard since as are missing. Who of the rest is not heard in the time of
    one report is then silent by itself."""
    events = await connection.fetch(_EVENTS, at.silent_before)
    now_s = int(at.now.timestamp())
    since = [
        Group(row["kind"], row["key"], (), row["missing"], int(row["started_at"].timestamp()) + 1, now_s)
        for row in events
    ]
    heard = await heard_of(connection, since, at.silent_before, 0.5)
    for row, of_group in zip(events, heard, strict=True):
        if max(row["heard"], of_group.since) >= row["missing"]:
            await connection.execute(_END, row["alert_id"], at.now)
