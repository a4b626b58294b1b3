"""The statements of a replay: what is stored of some meters, and the plan's changes. None commits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from asyncpg.pgproto.pgproto import UUID

from metering.envelope import Report
from metering.model import Authentication, Door, Outcome

from ..accounting import local_day
from ..report_rows import REPORT_COLUMNS, Row, instant
from .plan import Key, Plan, Stretch

READABLE = (Outcome.STORED, Outcome.PARTIAL)
"""Reports whose readings may be stored. Repeats have no bytes of their own; dead letters have a replay of theirs."""

_COLUMNS = ", ".join(f"r.{column}" for column in REPORT_COLUMNS)
_DEVICES = """
    SELECT DISTINCT device FROM installations JOIN devices USING (device_id) WHERE meter_id = ANY ($1::bigint[])
"""
_CHOSEN = """
    FROM reports r
    WHERE r.meter_id = ANY ($1::bigint[]) AND r.device = ANY ($2::text[]) AND r.received_at >= $3 AND r.received_at < $4
      AND ($5::text IS NULL OR r.decoder = $5) AND r.outcome IN ('stored', 'partial')
"""
COUNT = f"SELECT r.meter_id, count(*)::int AS reports {_CHOSEN} GROUP BY r.meter_id"
CHOSEN = f"""
    SELECT {_COLUMNS}, raw.payload
    FROM (SELECT * {_CHOSEN} AND (r.received_at, r.report_id) > ($6, $7)
          ORDER BY r.received_at, r.report_id LIMIT $8) r
    LEFT JOIN raw_reports raw ON raw.received_at = r.received_at AND raw.report_id = r.report_id
                             AND raw.received_at >= $3 AND raw.received_at < $4
    ORDER BY r.received_at, r.report_id
"""  # noqa: S608 - text of ours
_OTHERS = """
    SELECT meter_id, floor(extract(epoch FROM first_ts))::bigint, ceil(extract(epoch FROM last_ts))::bigint
    FROM reports
    WHERE meter_id = ANY ($1::bigint[]) AND device = ANY ($2::text[]) AND outcome IN ('stored', 'partial')
      AND first_ts IS NOT NULL AND report_id <> ALL ($3::uuid[]) AND last_ts >= $4 AND first_ts <= $5
"""
_STORED = """
    SELECT meter_id, extract(epoch FROM ts)::bigint AS ts_s, kind, index_ml
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS asked (meter, from_s, to_s)
    CROSS JOIN LATERAL (
        SELECT * FROM readings
        WHERE meter_id = asked.meter AND ts BETWEEN to_timestamp(from_s) AND to_timestamp(to_s)
          AND ts BETWEEN to_timestamp($4::bigint) AND to_timestamp($5::bigint) OFFSET 0) r
"""
_INSERT = """
    INSERT INTO readings (meter_id, ts, kind, index_ml)
    SELECT meter_id, to_timestamp(ts_s), kind, index_ml
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) AS new (meter_id, ts_s, kind, index_ml)
"""
_CHANGE = """
    UPDATE readings SET index_ml = new.index_ml
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) AS new (meter_id, ts_s, kind, index_ml)
    WHERE readings.meter_id = new.meter_id AND readings.ts = to_timestamp(new.ts_s) AND readings.kind = new.kind
      AND readings.ts BETWEEN to_timestamp($5::bigint) AND to_timestamp($6::bigint)
      AND readings.meter_id = ANY ($1)  -- of compressed chunks only these meters' rows are unpacked
"""
_WITHDRAW = """
    DELETE FROM readings
    USING unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS gone (meter_id, ts_s, kind)
    WHERE readings.meter_id = gone.meter_id AND readings.ts = to_timestamp(gone.ts_s) AND readings.kind = gone.kind
      AND readings.ts BETWEEN to_timestamp($4::bigint) AND to_timestamp($5::bigint)
      AND readings.meter_id = ANY ($1)  -- as above
"""
_CORRECT = """
    INSERT INTO corrections (replay_id, meter_id, ts, kind, old_index_ml, new_index_ml, report_id)
    SELECT $1, meter_id, to_timestamp(ts_s), kind, old_ml, new_ml, report_id
    FROM unnest($2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::uuid[])
         AS corrected (meter_id, ts_s, kind, old_ml, new_ml, report_id)
"""
_CONTRADICT = """
    INSERT INTO conflicts (meter_id, ts, kind, stored_index_ml, other_index_ml, report_id, seen_at)
    SELECT meter_id, to_timestamp(ts_s), kind, stored_ml, other_ml, report_id, seen_at
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::uuid[], $7::timestamptz[])
         AS seen (meter_id, ts_s, kind, stored_ml, other_ml, report_id, seen_at)
    WHERE NOT EXISTS (SELECT FROM conflicts c
                      WHERE c.meter_id = seen.meter_id AND c.ts = to_timestamp(seen.ts_s) AND c.kind = seen.kind
                        AND c.report_id = seen.report_id AND c.other_index_ml = seen.other_ml)
"""
_TOUCH = """
    INSERT INTO touched_spans (meter_id, from_ts, to_ts)
    SELECT meter_id, to_timestamp(from_s), to_timestamp(to_s)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS span (meter_id, from_s, to_s)
"""
_UNSETTLE = """
    DELETE FROM settled_days USING unnest($1::bigint[], $2::date[]) AS gone (meter_id, day)
    WHERE settled_days.meter_id = gone.meter_id AND settled_days.day = gone.day AND quality <> 'edited'
      AND settled_days.day BETWEEN $3 AND $4 AND settled_days.meter_id = ANY ($1)  -- as above
"""
_LAST_KNOWN = (
    "SELECT meter_id, max(last_ts) AS ts FROM device_latest WHERE meter_id = ANY ($1::bigint[]) GROUP BY meter_id"
)
_NEWEST = """
    SELECT asked.meter, ts, index_ml FROM unnest($1::bigint[]) AS asked (meter)
    CROSS JOIN LATERAL (SELECT ts, index_ml FROM readings WHERE meter_id = asked.meter AND ts > $2 AND ts <= $3
                        ORDER BY ts DESC, index_ml DESC LIMIT 1) newest
"""
_LATEST = """
    UPDATE device_latest SET last_ts = newest.ts, last_index_ml = newest.index_ml
    FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS newest (meter, ts, index_ml)
    WHERE device_latest.meter_id = newest.meter
"""
_LOOKS = tuple(timedelta(days=days) for days in (16, 128, 400))
"""How far back the newest reading is looked for, one after the other; after them, in all of the past."""


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A row of `reports` with its bytes; `row` has the columns of REPORT_COLUMNS."""

    row: Row
    report: Report | None
    """None: its raw bytes are gone."""
    stretch: Stretch | None
    outcome: Outcome
    sequence: int | None

    def column(self, name: str) -> Any:
        return self.row[_POSITION[name]]


_POSITION = {column: position for position, column in enumerate(REPORT_COLUMNS)}


def stored_report(record: Any) -> StoredReport:
    row = tuple(record)[: len(REPORT_COLUMNS)]
    first, last, payload = record["first_ts"], record["last_ts"], record["payload"]
    stretch = Stretch(record["meter_id"], _second(first), _second(last)) if first is not None else None
    report = None if payload is None else Report(
        record["report_id"].bytes, round_us(record["received_at"]), cast(Door, record["door"]),
        cast(Authentication, record["authentication"]), record["device"], record["content_format"], payload,
        record["source"],
    )  # fmt: skip
    return StoredReport(row, report, stretch, Outcome(record["outcome"]), record["stream_sequence"])


def round_us(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _second(at: datetime) -> int:
    return round_us(at) // 1_000_000


def same_row(before: Row, after: Row) -> bool:
    """Whether two rows of `reports` say the same; `jsonb` does not keep its text."""
    extra = _POSITION["extra"]
    return (before[:extra], before[extra + 1 :]) == (after[:extra], after[extra + 1 :]) and (
        (json.loads(before[extra]) if before[extra] else None) == (json.loads(after[extra]) if after[extra] else None)
    )


async def devices_of(connection: Any, meters: Sequence[int]) -> list[str]:
    """Devices these meters were ever installed on: reports are kept by device."""
    return [row["device"] for row in await connection.fetch(_DEVICES, meters)]


async def other_stretches(
    connection: Any, meters: Sequence[int], devices: Sequence[str], asked: Sequence[bytes], first_s: int, last_s: int
) -> list[Stretch]:
    """Of the reports that are not `asked`, as far as they reach into this time."""
    ids = [UUID(report_id) for report_id in asked]
    first, last = instant(first_s * 1_000_000), instant(last_s * 1_000_000)
    return [Stretch(*row) for row in await connection.fetch(_OTHERS, meters, devices, ids, first, last)]


async def stored_readings(connection: Any, reach: dict[int, tuple[int, int]]) -> dict[Key, int]:
    """Of each meter all readings from the first to the last second of its reach."""
    meters = list(reach)
    first_s, last_s = [first for first, _ in reach.values()], [last for _, last in reach.values()]
    rows = await connection.fetch(_STORED, meters, first_s, last_s, min(first_s), max(last_s))
    return {(row["meter_id"], row["ts_s"], row["kind"]): row["index_ml"] for row in rows}


async def apply(connection: Any, replay_id: int, plan: Plan, ids: Sequence[UUID], zone: ZoneInfo) -> None:
    """Make the plan's changes to readings, and have what follows from them computed anew. `ids` and their order are
    those of the reports that the plan was made of."""
    if plan.withdrawn:
        await connection.execute(_WITHDRAW, *_keys(plan.withdrawn), *_reach(plan.withdrawn))
        days = {(meter_id, local_day(ts_s * 1_000_000, zone)) for meter_id, ts_s, _ in plan.withdrawn}
        dates = [day for _, day in days]
        await connection.execute(_UNSETTLE, *_columns(days), min(dates), max(dates))
    if plan.changed:
        new = [new for _, new in plan.changed.values()]
        await connection.execute(_CHANGE, *_keys(plan.changed), new, *_reach(plan.changed))
    if plan.added:
        await connection.execute(_INSERT, *_keys(plan.added), list(plan.added.values()))
    await _record(connection, replay_id, plan, ids)
    if touched := plan.touched:
        await connection.execute(_TOUCH, *_columns((meter, *reach) for meter, reach in sorted(touched.items())))
        await _correct_latest(connection, touched)


async def _correct_latest(connection: Any, touched: Mapping[int, tuple[int, int]]) -> None:
    """Have the newest readings of these meters in `device_latest`; `touched` says from when to when each changed."""
    known = {row["meter_id"]: row["ts"] for row in await connection.fetch(_LAST_KNOWN, sorted(touched))}
    if not known:
        return
    newest: dict[int, tuple[datetime | None, int | None]] = dict.fromkeys(known, (None, None))
    last = max([instant(touched[meter][1] * 1_000_000) for meter in known] + [ts for ts in known.values() if ts])
    until, missing = last, list(known)
    for since in (*(last - look for look in _LOOKS), instant(0)):
        for meter, ts, index_ml in await connection.fetch(_NEWEST, missing, since, until):
            newest[meter] = ts, index_ml
        until, missing = since, [meter for meter in missing if newest[meter][0] is None]
        if not missing:
            break
    rows = [(meter, *found) for meter, found in sorted(newest.items())]
    await connection.execute(_LATEST, *_columns(rows))


async def _record(connection: Any, replay_id: int, plan: Plan, ids: Sequence[UUID]) -> None:
    corrected: list[Row] = [
        (*key, old, new, ids[plan.first_claims[key].report]) for key, (old, new) in sorted(plan.changed.items())
    ]
    corrected += [(*key, old, None, None) for key, old in sorted(plan.withdrawn.items())]
    if corrected:
        await connection.execute(_CORRECT, replay_id, *_columns(corrected))
    if plan.contradictions:
        seen = [
            (*c.key, c.stored_ml, c.other_ml, ids[c.report], _minted_at(ids[c.report])) for c in plan.contradictions
        ]
        await connection.execute(_CONTRADICT, *_columns(seen))


def _minted_at(report_id: UUID) -> datetime:
    return instant(int.from_bytes(report_id.bytes[:6], "big") * 1000)


def _keys(keys: Any) -> list[list[int]]:
    return _columns(list(keys))


def _reach(keys: Any) -> tuple[int, int]:
    times = [ts_s for _, ts_s, _ in keys]
    return min(times), max(times)


def _columns(rows: Any) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
