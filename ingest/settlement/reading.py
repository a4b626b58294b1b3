"""Reads what settlement needs from the database, as arrays of numpy: no Python object for each row.

Columns come as one binary string each (``string_agg`` of what the type sends), which costs no more than COPY and passes
through whatever passes queries. Readings are asked for within bounds of time that the planner sees, so that TimescaleDB
opens only their chunks, and for many meters at once, so that a compressed chunk is gone through once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.columns import US, columns, unix_s
from ingest.meter_rows import amendments_of
from metering.consumption import (
    MARGIN,
    MAX_SPREAD_S,
    NO_AMENDMENTS,
    REACH,
    VOID,
    Amendments,
    Bools,
    Ints,
    Readings,
    amended,
    keys_of,
)

from .neighbours import Neighbours
from .spans import AROUND_S, Spans, day_bounds

SLOT_S = 6 * 3_600
"""Stretches whose bounds differ by no more are read by one statement."""
CROWD = 50
"""From so many on; fewer share statements with others that are about as long."""
MAX_READINGS = 1_500_000
"""Of one statement that has no upper bound of time: one that would give more is asked again with one."""

_TAKE = """
WITH taken AS (
    DELETE FROM touched_spans
    WHERE span_id <= (SELECT max(span_id) FROM (SELECT span_id FROM touched_spans ORDER BY span_id LIMIT $1) oldest)
    RETURNING meter_id, from_ts, to_ts
)
SELECT string_agg(int8send(meter_id), ''), string_agg(timestamptz_send(from_ts), ''),
       string_agg(timestamptz_send(to_ts), '')
FROM taken"""

_WAITING = """
SELECT count(*), GREATEST(extract(epoch FROM now() - min(touched_at)), 0)::float8 FROM touched_spans"""

_READ = """
SELECT string_agg(int8send(meter_id), ''), string_agg(timestamptz_send(ts), ''), string_agg(int8send(index_ml), '')
FROM (SELECT meter_id, ts, index_ml FROM readings
      WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[])  -- no constant: the planner would weigh each element
        AND ts >= to_timestamp($2::bigint) {upper} LIMIT {limit}) found"""
_READ_BETWEEN = _READ.format(upper="AND ts <= to_timestamp($3::bigint)", limit="ALL")
_READ_FROM = _READ.format(upper="", limit=MAX_READINGS + 1)


class Read(NamedTuple):
    """Readings of stretches, by position of the stretch, and whether a stretch has none after its end. Amendments are
    laid over them."""

    readings: Readings
    is_newest: Bools


class ReadingTable:
    """The table of readings, through one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._earlier, self._later = Neighbours(connection, later=False), Neighbours(connection, later=True)
        self._behind_s = 0
        """Up to here there were too many newer readings to read on without an end."""
        self._amendments = NO_AMENDMENTS
        self._ever_amended: Ints = np.zeros(0, np.int64)

    async def prepare(self, meter_id: Ints) -> None:
        """To be called first with all meters that are then asked for: learns what people said of their readings."""
        known, in_force = await amendments_of(self._connection, meter_id)
        self._ever_amended = keys_of(known.meter, known.ts_s)
        self._amendments = known.only(in_force)

    def were_amended(self, spans: Spans) -> Bools:
        """Which spans hold an instant at which somebody gave or took away a reading, or took that back."""
        low = np.searchsorted(self._ever_amended, keys_of(spans.meter_id, spans.from_s), "left")
        found: Bools = np.searchsorted(self._ever_amended, keys_of(spans.meter_id, spans.to_s), "right") > low
        return found

    async def read(self, stretches: Spans) -> Read:
        """All readings of the stretches."""
        found = [(np.zeros(0, np.int64),) * 3]
        is_newest = np.zeros(len(stretches.meter_id), np.bool_)
        for group in _groups(stretches):
            members = stretches.only(group)
            meter_id, ts_s, index_ml, is_newest[group] = await self._read_group(members)
            position = group[_positions(members.meter_id, meter_id)]
            inside = (ts_s >= stretches.from_s[position]) & ((ts_s <= stretches.to_s[position]) | is_newest[position])
            found.append((position[inside], ts_s[inside], index_ml[inside]))
        position, ts_s, index_ml = map(np.concatenate, zip(*found, strict=True))
        laid_over = self._amendments_of(stretches, is_newest)
        return Read(amended(position, ts_s, index_ml, laid_over), is_newest)

    def _amendments_of(self, stretches: Spans, is_newest: Bools) -> Amendments:
        """Those of the stretches, by position of the stretch."""
        known = self._amendments
        if not len(known.meter):
            return known
        low = np.searchsorted(known.meter, stretches.meter_id, "left")
        count = np.searchsorted(known.meter, stretches.meter_id, "right") - low
        position = np.repeat(np.arange(len(low)), count)
        rows = np.arange(len(position)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
        ts_s = known.ts_s[rows]
        inside = (ts_s >= stretches.from_s[position]) & ((ts_s <= stretches.to_s[position]) | is_newest[position])
        return known.only(rows[inside])._replace(meter=position[inside])

    async def _read_group(self, members: Spans) -> tuple[Ints, Ints, Ints, bool]:
        """Meter, time and index of the readings between the outer bounds, and whether there are no newer ones: then
        the readings after the bounds came along, too."""
        meter_ids, from_s, to_s = members.meter_id.tolist(), int(members.from_s.min()), int(members.to_s.max())
        if to_s > self._behind_s and len(meter_ids) >= CROWD:
            meter_id, ts, index_ml = await columns(self._connection, _READ_FROM, meter_ids, from_s)
            if len(meter_id) <= MAX_READINGS:
                return meter_id, unix_s(ts), index_ml, True
            self._behind_s = to_s
        meter_id, ts, index_ml = await columns(self._connection, _READ_BETWEEN, meter_ids, from_s, to_s)
        return meter_id, unix_s(ts), index_ml, False

    async def is_earlier(self, meter_id: Ints, at_s: Ints, several: Bools, zone: ZoneInfo) -> Bools:
        """Which of these meters may have readings before that matter, see `Neighbours.exist`."""
        given = self._is_given(meter_id, at_s - MAX_SPREAD_S, at_s - 1)
        return given | await self._earlier.exist(meter_id, at_s, several, zone)

    async def is_later(self, meter_id: Ints, at_s: Ints, several: Bools, zone: ZoneInfo) -> Bools:
        """Which of these meters may have readings after, as `is_earlier`."""
        given = self._is_given(meter_id, at_s + 1, at_s + MAX_SPREAD_S)
        return given | await self._later.exist(meter_id, at_s, several, zone)

    def _is_given(self, meter_id: Ints, from_s: Ints, to_s: Ints) -> Bools:
        """Which of these meters have amendments between."""
        keys = keys_of(self._amendments.meter, self._amendments.ts_s)
        low = np.searchsorted(keys, keys_of(meter_id, from_s), "left")
        found: Bools = np.searchsorted(keys, keys_of(meter_id, to_s), "right") > low
        return found

    async def exact_stretches(self, spans: Spans, zone: ZoneInfo) -> Spans:
        """What to read of each span however far its readings lie apart, found by counting them.

        Readings that are taken away do not count, so as many more are read; ones that were given are read in any case.
        """
        voids = int(np.count_nonzero(self._amendments.index_ml == VOID))
        changed = self._with_amendments(await self._extended(spans, REACH + voids))
        begin_s, end_s = day_bounds(zone, changed.from_s, changed.to_s)
        whole = Spans(
            spans.meter_id,
            np.minimum(begin_s, changed.from_s - AROUND_S),
            np.maximum(end_s, changed.to_s + AROUND_S),
        )
        return self._with_amendments(await self._extended(whole, MARGIN + 1 + voids))

    def _with_amendments(self, spans: Spans) -> Spans:
        """With all amendments that lie no further off than is bridged."""
        if not len(self._amendments.meter):
            return spans
        keys = keys_of(self._amendments.meter, self._amendments.ts_s)
        low = np.searchsorted(keys, keys_of(spans.meter_id, spans.from_s - MAX_SPREAD_S), "left")
        end = np.searchsorted(keys, keys_of(spans.meter_id, spans.to_s + MAX_SPREAD_S), "right")
        ts_s = np.append(self._amendments.ts_s, 0)
        from_s = np.where(end > low, np.minimum(spans.from_s, ts_s[low]), spans.from_s)
        to_s = np.where(end > low, np.maximum(spans.to_s, ts_s[end - 1]), spans.to_s)
        return Spans(spans.meter_id, from_s, to_s)

    async def _extended(self, spans: Spans, readings: int) -> Spans:
        """With so many more readings on either side, or as many as matter."""
        return Spans(
            spans.meter_id,
            await self._earlier.outermost(spans.meter_id, spans.from_s, readings),
            await self._later.outermost(spans.meter_id, spans.to_s, readings),
        )


async def take(connection: Any, limit: int) -> Spans:
    """Takes the oldest touched spans away; as they came: in no order, and some of one meter may overlap."""
    meter_id, from_us, to_us = await columns(connection, _TAKE, limit)
    return Spans(meter_id, unix_s(from_us), unix_s(to_us + US - 1))


async def waiting(connection: Any) -> tuple[int, float]:
    """How many touched spans there are, and the age of the oldest in seconds."""
    row = await connection.fetchrow(_WAITING)
    return int(row[0]), float(row[1])


def _groups(stretches: Spans) -> Iterator[Ints]:
    """Positions of stretches that one statement reads: about as long, at about the same time, each of another meter."""
    number = np.arange(len(stretches.meter_id)) - np.searchsorted(stretches.meter_id, stretches.meter_id)
    few = []
    for group in _alike(number, stretches.from_s // SLOT_S, stretches.to_s // SLOT_S):
        if len(group) >= CROWD:
            yield group
        else:
            few.append(group)
    if few:
        rest = np.sort(np.concatenate(few))
        from_s, to_s = stretches.from_s[rest], stretches.to_s[rest]
        slot_s = 1 << (np.frexp(np.maximum(to_s - from_s, SLOT_S))[1].astype(np.int64) - 1)
        for group in _alike(number[rest], slot_s, from_s // slot_s, to_s // slot_s):
            yield rest[group]


def _alike(*columns: Ints) -> Iterator[Ints]:
    """Positions at which all columns are equal."""
    order = np.lexsort(columns)
    new = np.zeros(max(len(order) - 1, 0), np.bool_)
    for column in columns:
        new |= np.diff(column[order]) != 0
    yield from np.split(order, np.flatnonzero(new) + 1)


def _positions(members: Ints, meter_id: Ints) -> Ints:
    """Of each meter among `members`, which are sorted. Most rows stand beside others of their meter."""
    begins = np.flatnonzero(np.append(True, np.diff(meter_id) != 0)[: len(meter_id)])
    lengths = np.diff(np.append(begins, len(meter_id)))
    return np.repeat(np.searchsorted(members, meter_id[begins]), lengths)
