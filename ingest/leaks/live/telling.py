"""Brings alerts in line with what the detector found: raised, updated, ended, with what is remembered of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from ingest.leaks import alerts
from ingest.leaks.alarms import KIND as METER_ALARM
from ingest.leaks.closed_by_platform import CUSTOMERS_KINDS
from ingest.leaks.events import Kind
from ingest.meter_rows import bulk_meters
from ingest.meters import Meters

from .findings import Told
from .nights import Asked, minimum_before_ml
from .slices import Found

OWN_KINDS = [kind.value for kind in Kind]
MAX_COURSE = 12
"""Of an alert's suspicions and confirmations so many stay in its evidence."""

_LASTING = """
SELECT meter_id, kind, ended_at IS NULL AS lasts, extract(epoch FROM last_seen_at)::bigint AS seen_s, evidence
FROM alerts
WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[]) AND state <> 'resolved'
  AND (kind = ANY($2) OR (starts_with(kind, $3) AND ended_at IS NULL))
ORDER BY alert_id"""

_NOTE = """
INSERT INTO alert_events (alert_id, at, to_state, actor)
SELECT a.alert_id, n.at, n.certainty, 'platform'
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[]) AS n (meter_id, kind, at, certainty)
JOIN alerts a ON a.meter_id = n.meter_id AND a.kind = n.kind AND a.state IN ('open', 'acknowledged')
             AND a.raised_at <= n.at
WHERE NOT EXISTS (SELECT FROM alert_events e
                  WHERE e.alert_id = a.alert_id AND e.at = n.at AND e.to_state = n.certainty)"""

Fault = tuple[int, str]
"""Meter and kind."""


class Alerts:
    """Alerts of some meters as they are in the database, within the caller's transaction."""

    def __init__(self, connection: Any, zone: ZoneInfo) -> None:
        self._connection, self._zone = connection, zone
        self._evidence: dict[Fault, dict[str, Any]] = {}
        self._lasting: dict[Fault, int] = {}
        """When the fault was last seen."""
        self._alarms: dict[int, list[str]] = {}

    async def tell(self, found: Found, meters: Meters) -> None:
        """All that was found. What lasts in the database and does not stand any more has ended: what spoke for it was
        not yet kept, and has changed."""
        await self._load(found.meter_id.tolist())
        bulk = await bulk_meters(self._connection, found.meter_id)
        for of_all in found.rounds:
            told = [one for one in of_all if not (one.kind in CUSTOMERS_KINDS and one.meter_id in bulk)]
            await self._raise(told, meters)
            await self._end([alerts.Ended(one.meter_id, one.kind, one.ended_s) for one in told
                             if one.ended_s is not None])  # fmt: skip
        gone = [
            (meter_id, kind) for meter_id, kind in self._lasting
            if (meter_id, kind) not in found.standing or (kind in CUSTOMERS_KINDS and meter_id in bulk)
        ]  # fmt: skip
        await self._end([alerts.Ended(*fault, max(found.newest_s[fault[0]], self._lasting[fault])) for fault in gone])

    async def _load(self, meter_ids: list[int]) -> None:
        for row in await self._connection.fetch(_LASTING, meter_ids, OWN_KINDS, METER_ALARM):
            meter_id, kind, lasts, seen_s, evidence = row
            if kind.startswith(METER_ALARM):
                self._alarms.setdefault(meter_id, []).append(kind.removeprefix(METER_ALARM))
                continue
            self._evidence[meter_id, kind] = json.loads(evidence)
            if lasts:
                self._lasting[meter_id, kind] = seen_s

    async def _raise(self, told: Sequence[Told], meters: Meters) -> None:
        new = [one for one in told if one.finding is not None]
        nights = await self._nights(new, meters)
        findings = []
        for one in new:
            finding = one.finding
            if finding is None:
                continue
            evidence = self._remembered(one, finding.evidence, nights)
            findings.append(finding._replace(evidence=evidence))
            self._evidence[one.meter_id, one.kind] = evidence
            self._lasting[one.meter_id, one.kind] = finding.seen_at_s
        await alerts.raise_or_update(self._connection, findings)
        await self._note((one.meter_id, one.kind, at_s, phase.value) for one in told for phase, at_s, _ in one.notes)

    def _remembered(self, one: Told, evidence: dict[str, Any], nights: dict[int, int | None]) -> dict[str, Any]:
        """The evidence with what only earlier ones knew, and the meter's own alarms as further witnesses."""
        before = self._evidence.get((one.meter_id, one.kind), {})
        course = before.get("course", [])
        course = course + [note for _, _, note in one.notes if note not in course]
        known = {"course": course[-MAX_COURSE:], "meter_alarms": sorted(self._alarms.get(one.meter_id, []))}
        if NIGHT_BEFORE in evidence:
            kept = before.get(NIGHT_BEFORE) if not _is_new(one) else None
            known[NIGHT_BEFORE] = kept if kept is not None else nights.get(one.meter_id)
        return evidence | known

    async def _nights(self, told: Iterable[Told], meters: Meters) -> dict[int, int | None]:
        """Of leaks that were raised now, or whose alerts do not know it."""
        asked = [
            Asked(one.meter_id, one.finding.started_at_s) for one in told
            if one.finding is not None and NIGHT_BEFORE in one.finding.evidence
            and (_is_new(one) or self._evidence.get((one.meter_id, one.kind), {}).get(NIGHT_BEFORE) is None)
        ]  # fmt: skip
        return await minimum_before_ml(self._connection, asked, meters, self._zone)

    async def _end(self, ended: list[alerts.Ended]) -> None:
        await alerts.end(self._connection, ended)
        await self._note((one.meter_id, one.kind, one.ended_at_s, CLEARED) for one in ended)
        for one in ended:
            self._lasting.pop((one.meter_id, one.kind), None)

    async def _note(self, notes: Iterable[tuple[int, str, int, str]]) -> None:
        rows = [(meter_id, kind, alerts.instant(at_s), certainty) for meter_id, kind, at_s, certainty in notes]
        if rows:
            await self._connection.execute(_NOTE, *map(list, zip(*rows, strict=True)))


CLEARED = "cleared"
NIGHT_BEFORE = "night_minimum_before_ml_h"


def _is_new(one: Told) -> bool:
    return any(phase.value == "suspected" for phase, _, _ in one.notes)
