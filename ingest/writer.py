"""The statements of the ingest transaction. Each takes the whole batch at once; none commits.

Two ways to write. With COPY: what is certainly new goes straight in, other readings by `INSERT … ON CONFLICT DO
NOTHING`; a key that turns out to be taken ends the transaction with a UniqueViolationError, and the caller tries again
the careful way. Careful: everything by INSERT, for what COPY refused and for servers that have no COPY.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from asyncpg.pgproto.pgproto import UUID

from metering.envelope import Report

from .copy_encoding import READING_COLUMNS, encode_readings, encode_rows
from .readings import Bools, Int64s, ReadingTable, Verdict
from .report_rows import LATEST_COLUMNS, Row, array_parameters, instant, parameters

DAY_S = 86_400
SPAN_GAP_S = 2 * DAY_S
"""As settlement, which makes one of spans that lie no further apart."""
_NO_READING_S = -(2**62)
_LONG_AGO_S = 0
_AGES_S = np.array([2, 8, 32, 128, 512]) * DAY_S

_LAST_KNOWN = """
    SELECT asked.meter_id,
           coalesce(floor(extract(epoch FROM max(last_ts) FILTER (WHERE latest.meter_id = asked.meter_id)))::bigint, $2)
               AS since_s
    FROM unnest($1::bigint[]) AS asked (meter_id)
    JOIN installations ON installations.meter_id = asked.meter_id
    JOIN device_latest AS latest USING (device_id)
    GROUP BY asked.meter_id
"""
"""From when on to look for the newest reading of each meter of which a device ever reported. One join for all: asked
meter by meter, a planner that knows nothing yet of a table that just filled reads all of it for each."""
_NEWEST = """
    SELECT meter_id, (SELECT ceil(extract(epoch FROM ts))::bigint FROM readings
                      WHERE readings.meter_id = asked.meter_id AND ts >= to_timestamp($2)
                      ORDER BY ts DESC LIMIT 1) AS newest_s
    FROM unnest($1::bigint[]) AS asked (meter_id)
"""
_LOOK_UP = """
    SELECT n, found.index_ml
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) WITH ORDINALITY AS asked (meter_id, ts_s, kind, n)
    CROSS JOIN LATERAL (
        SELECT index_ml FROM readings
        WHERE meter_id = asked.meter_id AND ts = to_timestamp(asked.ts_s) AND readings.kind = asked.kind
          AND ts BETWEEN to_timestamp($4) AND to_timestamp($5)
        OFFSET 0) found  -- so that each key is looked up by itself: a join would decompress whole chunks
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
    SELECT meter_id, to_timestamp(from_us / 1000000), to_timestamp(to_us / 1000000)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS span (meter_id, from_us, to_us)
"""
_SPAN_COLUMNS = {"meter_id": "bigint", "from_ts": "timestamptz", "to_ts": "timestamptz"}
_UPSERT = """
    INSERT INTO device_latest AS old ({columns})
    SELECT {columns} FROM {source}
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
_LATEST_NAMES = ", ".join(LATEST_COLUMNS)
_UPSERT_LATEST = _UPSERT.format(
    columns=_LATEST_NAMES, source=f"unnest({array_parameters(LATEST_COLUMNS)}) AS incoming ({_LATEST_NAMES})"
)
_COPIED_LATEST = "CREATE TEMP TABLE IF NOT EXISTS incoming_latest (LIKE device_latest) ON COMMIT DELETE ROWS"
_UPSERT_COPIED_LATEST = _UPSERT.format(columns=_LATEST_NAMES, source="incoming_latest")
"""An array parameter costs asyncpg 0.4 us a value; fifteen of them were a tenth of all Python time."""
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
    """Unix seconds of the newest reading of each of these meters; far in the past where it has none.

    `device_latest` says where to begin: without that, a meter with no reading would be looked for in every chunk.
    Meters are asked together when their last known readings lie near one another.
    """
    newest = np.full(len(meter_id), _NO_READING_S, np.int64)
    known = await connection.fetch(_LAST_KNOWN, meter_id.tolist(), _LONG_AGO_S)
    since = {row["meter_id"]: row["since_s"] for row in known}
    heard = np.flatnonzero(np.isin(meter_id, list(since)))
    since_s = np.array([since[meter] for meter in meter_id[heard].tolist()], np.int64)
    classes = np.searchsorted(_AGES_S, since_s.max(initial=0) - since_s)
    for age in np.unique(classes).tolist():
        asked = heard[classes == age]
        rows = await connection.fetch(_NEWEST, meter_id[asked].tolist(), float(since_s[classes == age].min()))
        found = {row["meter_id"]: row["newest_s"] for row in rows if row["newest_s"] is not None}
        newest[asked] = [found.get(meter, _NO_READING_S) for meter in meter_id[asked].tolist()]
    return newest


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
        await _copy(connection, table, columns, list(zip(*rows, strict=True)))
        return
    await connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({array_parameters(columns)}) "  # noqa: S608 - names of ours
        "ON CONFLICT DO NOTHING",
        *parameters(columns, rows),
    )


async def _copy(connection: Any, table: str, kinds: Mapping[str, str], columns: Sequence[Any]) -> None:
    data = encode_rows(list(kinds.values()), columns)
    await connection.copy_to_table(table, source=data, columns=list(kinds), format="binary")


async def copy_readings(connection: Any, table: ReadingTable, leaders: Int64s, new: Bools) -> tuple[Bools, Int64s]:
    """COPY the leaders that are certainly `new`; insert those of the others that the database does not have.

    Returns, for each leader, whether the database had its key and with which index.
    """
    existing = np.zeros(len(leaders), np.bool_)
    existing_ml = np.zeros(len(leaders), np.int64)
    if len(rows := _day_by_day(table, leaders[new])):
        data = encode_readings(table.meter_id[rows], table.ts_s[rows], table.kind[rows], table.index_ml[rows])
        await connection.copy_to_table("readings", source=data, columns=list(READING_COLUMNS), format="binary")
    if not new.all():
        existing[~new], existing_ml[~new] = await insert_readings(connection, table, leaders[~new])
    return existing, existing_ml


async def insert_readings(connection: Any, table: ReadingTable, leaders: Int64s) -> tuple[Bools, Int64s]:
    """As `copy_readings`, whatever the database has and whoever else writes.

    Into compressed chunks, too: only the batches that could hold such a key are read, and none is unpacked for good.
    """
    if not len(leaders):
        return np.zeros(0, np.bool_), np.zeros(0, np.int64)
    rows = _day_by_day(table, leaders)
    columns = [column[rows].tolist() for column in (table.meter_id, table.ts_s, table.kind, table.index_ml)]
    inserted = {tuple(row) for row in await connection.fetch(_INSERT_READINGS, *columns)}
    keys = zip(*(column[leaders].tolist() for column in (table.meter_id, table.ts_s, table.kind)), strict=True)
    existing = np.fromiter((key not in inserted for key in keys), np.bool_, len(leaders))
    existing_ml = np.zeros(len(leaders), np.int64)
    existing_ml[existing] = await _look_up(connection, table, leaders[existing])
    return existing, existing_ml


def _day_by_day(table: ReadingTable, rows: Int64s) -> Int64s:
    """The rows in an order that visits one chunk after the other."""
    days = table.ts_s[rows] // DAY_S
    return rows if not len(rows) or days.min() == days.max() else rows[np.argsort(days, kind="stable")]


async def _look_up(connection: Any, table: ReadingTable, rows: Int64s) -> Int64s:
    """The index that the database has for the key of each row, 0 without one. A statement for each UTC day: bounds
    that the planner knows spare it all chunks but one."""
    found_ml = np.zeros(len(rows), np.int64)
    days = table.ts_s[rows] // DAY_S
    for day in np.unique(days).tolist():
        asked = np.flatnonzero(days == day)
        of_day = rows[asked]
        found = await connection.fetch(
            _LOOK_UP, table.meter_id[of_day].tolist(), table.ts_s[of_day].tolist(), table.kind[of_day].tolist(),
            float(day * DAY_S), float((day + 1) * DAY_S - 1),
        )  # fmt: skip
        for n, index_ml in found:
            found_ml[asked[n - 1]] = index_ml
    return found_ml


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


async def insert_spans(connection: Any, table: ReadingTable, stored: Bools, copy: bool) -> None:
    """Touched spans of each meter: from the first to the last of its new readings, without gaps longer than SPAN_GAP_S:
    a late reading beside today's touches not all days between."""
    meters, times_us = table.meter_id[stored], table.ts_s[stored] * 1_000_000
    if not len(meters):
        return
    apart = (meters[1:] != meters[:-1]) | (np.diff(times_us) > SPAN_GAP_S * 1_000_000)
    starts = np.flatnonzero(np.r_[True, apart])
    ends = np.r_[starts[1:], len(meters)] - 1
    columns = (meters[starts], times_us[starts], times_us[ends])
    if copy:
        await _copy(connection, "touched_spans", _SPAN_COLUMNS, columns)
    else:
        await connection.execute(_INSERT_SPANS, *(column.tolist() for column in columns))


async def upsert_latest(connection: Any, rows: Sequence[Row], copy: bool = False) -> None:
    """Rows of `device_latest`, one per device; what is older than the row there changes nothing."""
    if not rows:
        return
    if copy:
        await connection.execute(_COPIED_LATEST)
        await _copy(connection, "incoming_latest", LATEST_COLUMNS, list(zip(*rows, strict=True)))
        await connection.execute(_UPSERT_COPIED_LATEST)
    else:
        await connection.execute(_UPSERT_LATEST, *parameters(LATEST_COLUMNS, rows))


async def alarmed_meters(connection: Any) -> set[int]:
    """Meters with an alarm of their own that is not over."""
    return {row["meter_id"] for row in await connection.fetch(_ALARMED)}
