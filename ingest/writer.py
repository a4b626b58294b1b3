"""The statements of the ingest transaction. Each takes the whole batch at once; none commits.

Two ways to write. With COPY: readings that are certainly new go straight in, the others are looked up first; a key
that turns out to be taken ends the transaction with a UniqueViolationError, and the caller tries again the careful
way. Careful: `INSERT … ON CONFLICT DO NOTHING`, slower, for what COPY refused and for servers that have no COPY.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from asyncpg.pgproto.pgproto import UUID

from metering.envelope import Report

from .copy_encoding import READING_COLUMNS, encode_readings
from .readings import Bools, Int64s, ReadingTable, Verdict
from .report_rows import Row, instant

_NO_READING_S = -(2**62)

_NEWEST = """
    SELECT meter_id, (SELECT ceil(extract(epoch FROM ts))::bigint FROM readings
                      WHERE readings.meter_id = asked.meter_id ORDER BY ts DESC LIMIT 1) AS newest_s
    FROM unnest($1::bigint[]) AS asked (meter_id)
"""
_LOOK_UP = """
    SELECT n, readings.index_ml
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) WITH ORDINALITY AS asked (meter_id, ts_s, kind, n)
    JOIN readings ON readings.meter_id = asked.meter_id AND readings.ts = to_timestamp(asked.ts_s)
                 AND readings.kind = asked.kind
    WHERE readings.ts BETWEEN to_timestamp($4) AND to_timestamp($5)
"""
_INSERT_READINGS = """
    INSERT INTO readings (meter_id, ts, kind, index_ml)
    SELECT meter_id, to_timestamp(ts_s), kind, index_ml
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) AS incoming (meter_id, ts_s, kind, index_ml)
    ON CONFLICT DO NOTHING
    RETURNING meter_id, extract(epoch FROM ts)::bigint AS ts_s, kind
"""
_INSERT_CONFLICTS = """
    INSERT INTO conflicts (meter_id, ts, kind, stored_index_ml, other_index_ml, report_id, seen_at)
    SELECT meter_id, to_timestamp(ts_s), kind, stored_ml, other_ml, report_id, seen_at
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::uuid[], $7::timestamptz[])
         AS seen (meter_id, ts_s, kind, stored_ml, other_ml, report_id, seen_at)
"""
_INSERT_SPANS = """
    INSERT INTO touched_spans (meter_id, from_ts, to_ts)
    SELECT meter_id, to_timestamp(from_s), to_timestamp(to_s)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS span (meter_id, from_s, to_s)
"""
_UPSERT_LATEST = """
    INSERT INTO device_latest AS old
        (device_id, meter_id, last_report_at, last_report_id, last_ts, last_index_ml, battery_mv, rsrp_ddbm, snr_ddb,
         ecl, cell_id, temperature_dc, pressure_kpa, valve, alarms)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::timestamptz[], $6::bigint[],
                         $7::integer[], $8::integer[], $9::integer[], $10::smallint[], $11::bigint[], $12::integer[],
                         $13::integer[], $14::smallint[], $15::integer[])
    ON CONFLICT (device_id) DO UPDATE SET
        meter_id = EXCLUDED.meter_id,
        last_report_at = EXCLUDED.last_report_at,
        last_report_id = EXCLUDED.last_report_id,
        last_ts = CASE WHEN old.meter_id = EXCLUDED.meter_id
                       THEN greatest(old.last_ts, EXCLUDED.last_ts) ELSE EXCLUDED.last_ts END,
        last_index_ml = CASE WHEN old.meter_id = EXCLUDED.meter_id AND old.last_ts IS NOT NULL
                                  AND (EXCLUDED.last_ts IS NULL OR EXCLUDED.last_ts < old.last_ts)
                             THEN old.last_index_ml ELSE EXCLUDED.last_index_ml END,
        battery_mv = coalesce(EXCLUDED.battery_mv, old.battery_mv),
        rsrp_ddbm = coalesce(EXCLUDED.rsrp_ddbm, old.rsrp_ddbm),
        snr_ddb = coalesce(EXCLUDED.snr_ddb, old.snr_ddb),
        ecl = coalesce(EXCLUDED.ecl, old.ecl),
        cell_id = coalesce(EXCLUDED.cell_id, old.cell_id),
        temperature_dc = coalesce(EXCLUDED.temperature_dc, old.temperature_dc),
        pressure_kpa = coalesce(EXCLUDED.pressure_kpa, old.pressure_kpa),
        valve = coalesce(EXCLUDED.valve, old.valve),
        alarms = EXCLUDED.alarms
    WHERE old.last_report_at <= EXCLUDED.last_report_at
"""
_EXISTING_REPORTS = """
    SELECT report_id FROM reports
    WHERE (received_at, report_id) IN (SELECT * FROM unnest($1::timestamptz[], $2::uuid[]))
      AND received_at BETWEEN $3 AND $4
"""
_REPEATED = """
    SELECT DISTINCT n
    FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY
         AS asked (device, identity, from_at, to_at, n)
    JOIN reports ON reports.device = asked.device AND reports.identity = asked.identity
                AND reports.received_at BETWEEN asked.from_at AND asked.to_at
    WHERE reports.outcome IN ('stored', 'partial') AND reports.received_at BETWEEN $5 AND $6
"""

_ALARMED = """
    SELECT DISTINCT meter_id FROM alerts
    WHERE state <> 'resolved' AND ended_at IS NULL AND starts_with(kind, 'meter_alarm:')
"""


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def newest_times(connection: Any, meter_id: Int64s) -> Int64s:
    """Unix seconds of the newest reading of each of these meters; far in the past where it has none."""
    rows = await connection.fetch(_NEWEST, meter_id.tolist())
    newest = {row["meter_id"]: row["newest_s"] for row in rows}
    return np.array(
        [_NO_READING_S if newest[meter] is None else newest[meter] for meter in meter_id.tolist()], np.int64
    )


async def existing_reports(connection: Any, keys: Sequence[Row]) -> set[bytes]:
    """Which of these (received_at, report_id) are in the database, as the 16 bytes of their ids."""
    if not keys:
        return set()
    received, ids = _columns(keys)
    rows = await connection.fetch(_EXISTING_REPORTS, received, ids, min(received), max(received))
    return {row["report_id"].bytes for row in rows}


async def repeated(connection: Any, asked: Sequence[Row]) -> set[int]:
    """Positions of those (device, identity, from, to) for which a report was stored in that time."""
    if not asked:
        return set()
    devices, identities, from_at, to_at = _columns(asked)
    rows = await connection.fetch(_REPEATED, devices, identities, from_at, to_at, min(from_at), max(to_at))
    return {row["n"] - 1 for row in rows}


async def insert(connection: Any, table: str, columns: Mapping[str, str], rows: Sequence[Row], copy: bool) -> None:
    """Rows into a table. With `copy`, one that exists raises UniqueViolationError; without, it is left as it is."""
    if not rows:
        return
    if copy:
        await connection.copy_records_to_table(table, records=rows, columns=list(columns))
        return
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(columns.values(), 1))
    await connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING",  # noqa: S608 - names of ours
        *_columns(rows),
    )


async def copy_readings(connection: Any, table: ReadingTable, leaders: Int64s, new: Bools) -> tuple[Bools, Int64s]:
    """COPY those leaders that the database does not have. `new`: which of them need no look.

    Returns, for each leader, whether the database had its key and with which index.
    """
    existing, existing_ml = await _look_up(connection, table, leaders, ~new)
    rows = leaders[~existing]
    if len(rows):
        days = table.ts_s[rows] // 86_400
        if days.min() != days.max():  # one chunk after the other
            rows = rows[np.argsort(days, kind="stable")]
        data = encode_readings(table.meter_id[rows], table.ts_s[rows], table.kind[rows], table.index_ml[rows])
        await connection.copy_to_table("readings", source=data, columns=list(READING_COLUMNS), format="binary")
    return existing, existing_ml


async def insert_readings(connection: Any, table: ReadingTable, leaders: Int64s) -> tuple[Bools, Int64s]:
    """As `copy_readings`, whatever the database has and whoever else writes."""
    if not len(leaders):
        return np.zeros(0, np.bool_), np.zeros(0, np.int64)
    keys = [column[leaders].tolist() for column in (table.meter_id, table.ts_s, table.kind)]
    rows = await connection.fetch(_INSERT_READINGS, *keys, table.index_ml[leaders].tolist())
    inserted = {tuple(row) for row in rows}
    existing = np.fromiter((key not in inserted for key in zip(*keys, strict=True)), np.bool_, len(leaders))
    _, existing_ml = await _look_up(connection, table, leaders, existing)
    return existing, existing_ml


async def _look_up(connection: Any, table: ReadingTable, leaders: Int64s, which: Bools) -> tuple[Bools, Int64s]:
    existing = np.zeros(len(leaders), np.bool_)
    existing_ml = np.zeros(len(leaders), np.int64)
    asked = np.flatnonzero(which)
    if len(asked):
        rows = leaders[asked]
        times = table.ts_s[rows]
        found = await connection.fetch(
            _LOOK_UP, table.meter_id[rows].tolist(), times.tolist(), table.kind[rows].tolist(),
            float(times.min()), float(times.max()),
        )  # fmt: skip
        for n, index_ml in found:
            existing[asked[n - 1]] = True
            existing_ml[asked[n - 1]] = index_ml
    return existing, existing_ml


async def insert_conflicts(connection: Any, table: ReadingTable, verdict: Verdict, reports: Sequence[Report]) -> None:
    """`reports` has the report of each position in `table.report`."""
    rows = np.flatnonzero(verdict.conflicting)
    if len(rows):
        of_row = [reports[position] for position in table.report[rows].tolist()]
        ids = [UUID(report.report_id) for report in of_row]
        seen = [instant(report.received_at_us) for report in of_row]
        await connection.execute(
            _INSERT_CONFLICTS, table.meter_id[rows].tolist(), table.ts_s[rows].tolist(), table.kind[rows].tolist(),
            verdict.reference_ml[rows].tolist(), table.index_ml[rows].tolist(), ids, seen,
        )  # fmt: skip


async def insert_spans(connection: Any, table: ReadingTable, stored: Bools) -> None:
    """One touched span per meter: from the first to the last of its new readings."""
    meters, times = table.meter_id[stored], table.ts_s[stored]
    if len(meters):
        starts = np.flatnonzero(np.r_[True, meters[1:] != meters[:-1]])
        ends = np.r_[starts[1:], len(meters)] - 1
        await connection.execute(_INSERT_SPANS, meters[starts].tolist(), times[starts].tolist(), times[ends].tolist())


async def upsert_latest(connection: Any, rows: Sequence[Row]) -> None:
    """Rows of `device_latest`, one per device; what is older than the row there changes nothing."""
    if rows:
        await connection.execute(_UPSERT_LATEST, *_columns(rows))


async def alarmed_meters(connection: Any) -> set[int]:
    """Meters with an alarm of their own that is not over."""
    return {row["meter_id"] for row in await connection.fetch(_ALARMED)}
