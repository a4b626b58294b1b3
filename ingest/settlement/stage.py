"""Settlement: recomputes the local days that new readings touch, and looks for leaks on the way (DESIGN section 3.7).

Ingest appends a span per meter to `touched_spans`; this stage takes spans in bounded batches, and for each batch in one
transaction: takes the spans away → finds what they reach → loads the readings → computes → writes days and alerts.
A batch that fails leaves everything as it was; computing a day twice gives the same row, whatever came in between.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import structlog
from prometheus_client import Counter, Gauge, Histogram

from ingest.leaks import stage as leaks
from metering import consumption
from metering.consumption import MARGIN, Q4_PER_Q3_MILLI, REACH, Flag, Ints, Limits, reasons
from metering.model import Quality
from metering.settings import SettlementSettings

MAX_SPANS = 2_000
"""Spans of one transaction."""
MAX_METER_DAYS = 50_000
"""Days of all meters that are computed at once; bounds memory when histories come in."""
NEAR_S = 2 * 86_400
"""Spans of a meter that lie no further apart are settled as one."""
AROUND_S = 25 * 3_600
"""Read so much beyond what a span reaches: the longest local day, and the 24 hours of the leak rule."""
BACKLOG = Gauge("nbwater_settlement_backlog_spans", "Touched spans that wait for settlement")
OLDEST = Gauge("nbwater_settlement_oldest_seconds", "How long the oldest touched span has waited")
DURATION = Histogram(
    "nbwater_settlement_batch_seconds", "Duration of a batch", buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
)
DAYS = Counter("nbwater_settlement_days_total", "Days computed, unchanged ones included")
FAILURES = Counter("nbwater_settlement_failures_total", "Batches that were rolled back")

_TAKE = """
DELETE FROM touched_spans WHERE span_id IN (SELECT span_id FROM touched_spans ORDER BY span_id LIMIT $1)
RETURNING meter_id, floor(extract(epoch FROM from_ts))::bigint, ceil(extract(epoch FROM to_ts))::bigint"""

_WAITING = """
SELECT count(*), COALESCE(extract(epoch FROM now() - min(touched_at)), 0)::float8 FROM touched_spans"""

_METERS = "SELECT meter_id, dn_mm, q3_l_h, register_max_ml, pulse_ml FROM meters WHERE meter_id = ANY($1::bigint[])"

_REACH = f"""
SELECT extract(epoch FROM least(early.ts, from_ts))::bigint, extract(epoch FROM greatest(late.ts, to_ts))::bigint
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS s (meter_id, from_s, to_s, n)
CROSS JOIN LATERAL (SELECT to_timestamp(from_s) AS from_ts, to_timestamp(to_s) AS to_ts) t
CROSS JOIN LATERAL (SELECT min(ts) AS ts FROM (
    SELECT ts FROM readings WHERE meter_id = s.meter_id AND ts < from_ts ORDER BY ts DESC LIMIT {REACH}) x) early
CROSS JOIN LATERAL (SELECT max(ts) AS ts FROM (
    SELECT ts FROM readings WHERE meter_id = s.meter_id AND ts > to_ts ORDER BY ts LIMIT {REACH}) x) late
ORDER BY n"""  # noqa: S608 - joins constants

_LOAD = f"""
SELECT array_agg(n - 1), array_agg(extract(epoch FROM r.ts)::bigint), array_agg(r.index_ml)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS s (meter_id, from_s, to_s, n)
CROSS JOIN LATERAL (SELECT to_timestamp(from_s) AS from_ts, to_timestamp(to_s) AS to_ts) t
CROSS JOIN LATERAL (SELECT min(ts) AS ts FROM (
    SELECT ts FROM readings WHERE meter_id = s.meter_id AND ts < from_ts ORDER BY ts DESC LIMIT {MARGIN}) x) early
CROSS JOIN LATERAL (SELECT max(ts) AS ts FROM (
    SELECT ts FROM readings WHERE meter_id = s.meter_id AND ts > to_ts ORDER BY ts LIMIT {MARGIN}) x) late
CROSS JOIN LATERAL (
    SELECT ts, index_ml FROM readings
    WHERE meter_id = s.meter_id AND ts BETWEEN COALESCE(early.ts, from_ts) AND COALESCE(late.ts, to_ts)
    OFFSET 0) r  -- so that each span is looked up by the key: the planner would rather hash all readings there are
"""  # noqa: S608 - joins constants

_WRITE = """
INSERT INTO settled_days AS d (meter_id, day, start_index_ml, end_index_ml, consumption_ml, excluded_ml, quality,
                               reasons, complete, readings)
SELECT meter_id, day, start_index_ml, end_index_ml, consumption_ml, excluded_ml, quality,
       string_to_array(reasons, ','), complete, readings
FROM unnest($1::bigint[], $2::date[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
            $9::boolean[], $10::integer[])
    AS n (meter_id, day, start_index_ml, end_index_ml, consumption_ml, excluded_ml, quality, reasons, complete,
          readings)
ON CONFLICT (meter_id, day) DO UPDATE
SET start_index_ml = EXCLUDED.start_index_ml, end_index_ml = EXCLUDED.end_index_ml,
    consumption_ml = EXCLUDED.consumption_ml, excluded_ml = EXCLUDED.excluded_ml, quality = EXCLUDED.quality,
    reasons = EXCLUDED.reasons, complete = EXCLUDED.complete, readings = EXCLUDED.readings, settled_at = now()
WHERE d.quality <> 'edited'
  AND (d.start_index_ml, d.end_index_ml, d.consumption_ml, d.quality, d.reasons, d.complete, d.readings)
      IS DISTINCT FROM
      (EXCLUDED.start_index_ml, EXCLUDED.end_index_ml, EXCLUDED.consumption_ml, EXCLUDED.quality, EXCLUDED.reasons,
       EXCLUDED.complete, EXCLUDED.readings)"""


class Spans(NamedTuple):
    """Stretches of time of meters, sorted; those of one meter do not overlap."""

    meter_id: Ints
    from_s: Ints
    to_s: Ints


class Meters(NamedTuple):
    """What is known of the meters of `Spans`, one entry per span."""

    dn_mm: Ints
    q3_l_h: Ints
    register_max_ml: Ints
    pulse_ml: Ints

    @property
    def limits(self) -> Limits:
        return Limits(self.q3_l_h * Q4_PER_Q3_MILLI, self.register_max_ml, self.pulse_ml)


def merged(rows: Sequence[tuple[int, int, int]]) -> Spans:
    """Spans (meter, from, to) in any order, with those of a meter that overlap or are near made one."""
    spans: list[list[int]] = []
    for meter_id, from_s, to_s in sorted(map(tuple, rows)):
        if spans and spans[-1][0] == meter_id and from_s <= spans[-1][2] + NEAR_S:
            spans[-1][2] = max(spans[-1][2], to_s)
        else:
            spans.append([meter_id, from_s, to_s])
    return Spans(*np.array(spans, np.int64).reshape(-1, 3).T)


def bounded(spans: Spans) -> Iterator[Spans]:
    """Slices of at most about MAX_METER_DAYS days."""
    days = np.cumsum(3 + (spans.to_s - spans.from_s) // 86_400)
    slice_of = days // MAX_METER_DAYS
    for number in np.unique(slice_of):
        yield Spans(*(column[slice_of == number] for column in spans))


class SettlementStage:
    """Works on the one connection that holds the lock: with the connection the lock is gone, and so is the batch."""

    def __init__(self, connection: Any, settings: SettlementSettings, zone: ZoneInfo) -> None:
        self._connection, self._settings, self._zone = connection, settings, zone
        self._stop = asyncio.Event()
        self._log = structlog.get_logger().bind(stage="settlement")

    async def run(self) -> None:
        """Until `stop`, or until the connection is lost. A failed batch is logged, counted and tried again after the
        usual pause."""
        while not self._stop.is_set() and not self._connection.is_closed():
            try:
                if await self.settle_batch() == MAX_SPANS:
                    continue
                await self._measure_backlog()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                FAILURES.inc()
                self._log.warning("settlement batch failed", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._settings.every_s)

    def stop(self) -> None:
        """After the batch in hand."""
        self._stop.set()

    async def settle_batch(self) -> int:
        """Settles up to MAX_SPANS touched spans in one transaction; returns how many it took."""
        with DURATION.time():
            async with self._connection.transaction():
                rows = await self._connection.fetch(_TAKE, MAX_SPANS)
                for spans in bounded(merged(rows)) if rows else ():
                    await self._settle(self._connection, spans)
                return len(rows)

    async def _settle(self, connection: Any, spans: Spans) -> None:
        spans, meters = await _known(connection, spans)
        reached = await connection.fetch(_REACH, *_lists(spans))
        changed = Spans(spans.meter_id, *np.array(list(map(tuple, reached)), np.int64).reshape(-1, 2).T)
        around = Spans(changed.meter_id, changed.from_s - AROUND_S, changed.to_s + AROUND_S)
        position, ts_s, index_ml = await connection.fetchrow(_LOAD, *_lists(around))
        if position is None:
            return
        curve = await asyncio.to_thread(_curve, position, ts_s, index_ml, meters.limits)
        rows = await asyncio.to_thread(_day_rows, curve, changed, self._zone)
        DAYS.inc(len(rows[0]))
        await connection.execute(_WRITE, *rows)
        await leaks.find_continuous_flow(
            connection, curve, spans.meter_id, meters.dn_mm, meters.q3_l_h, meters.pulse_ml
        )

    async def _measure_backlog(self) -> None:
        backlog, oldest_s = await self._connection.fetchrow(_WAITING)
        BACKLOG.set(backlog)
        OLDEST.set(oldest_s)


async def _known(connection: Any, spans: Spans) -> tuple[Spans, Meters]:
    """Spans of meters that exist, with what limits them."""
    rows = await connection.fetch(_METERS, np.unique(spans.meter_id).tolist())
    known = np.array(sorted(map(tuple, rows)), np.int64).reshape(-1, 5)
    spans = Spans(*(column[np.isin(spans.meter_id, known[:, 0])] for column in spans))
    at = np.searchsorted(known[:, 0], spans.meter_id)
    return spans, Meters(*known[at, 1:].T)


def _curve(position: list[int], ts_s: list[int], index_ml: list[int], limits: Limits) -> consumption.Curve:
    of_span, at_s, index = (np.array(column, np.int64) for column in (position, ts_s, index_ml))
    return consumption.validated(at_s, index, limits, of_span)


def _lists(spans: Spans) -> Iterator[list[int]]:
    return (column.tolist() for column in spans)


_QUALITIES = [str(Quality.MEASURED), str(Quality.INTERPOLATED)]
_REASONS = [",".join(reasons(flags)) for flags in range(2 * max(Flag))]


def _day_rows(curve: consumption.Curve, changed: Spans, zone: ZoneInfo) -> list[list[Any]]:
    """The days that hold an instant of the spans, as columns of `_WRITE`; each meter and day once."""
    _, first = np.unique(curve.segment, return_index=True)
    meter_of_segment = curve.meter[first]
    segment, number, days = consumption.days(
        curve, zone, changed.from_s[meter_of_segment], changed.to_s[meter_of_segment]
    )
    meter_id = changed.meter_id[meter_of_segment[np.searchsorted(curve.segment[first], segment)]]
    _, once = np.unique(np.stack((meter_id, number)), axis=1, return_index=True)
    excluded = (days.flags & consumption.EXCLUDED) != 0
    quality = np.where(excluded, str(Quality.ESTIMATED), np.where(days.interpolated, *_QUALITIES[::-1]))
    return [
        meter_id[once].tolist(),
        [consumption.day_of(zone, day) for day in number[once].tolist()],
        days.start_index_ml[once].tolist(),
        days.end_index_ml[once].tolist(),
        days.consumption_ml[once].tolist(),
        days.excluded_ml[once].tolist(),
        quality[once].tolist(),
        [_REASONS[flags] for flags in days.flags[once].tolist()],
        days.complete[once].tolist(),
        days.readings[once].tolist(),
    ]
