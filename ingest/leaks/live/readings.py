"""Reads of meters what the detector needs: readings as settlement sees them, corrections laid over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ingest.columns import columns, unix_s
from ingest.meter_rows import amendments_of
from metering.consumption import HOUR_S, MARGIN, Amendments, Bools, Ints, Readings, amended

BEFORE_S = (MARGIN + 3) * HOUR_S
"""So far before an instant the readings are read that its first step and its validation need; two may be missing."""
FAR_S = 32 * 86_400
"""Of meters that have none there, so far."""

_READ = """
SELECT string_agg(int8send(meter_id), ''), string_agg(timestamptz_send(ts), ''), string_agg(int8send(index_ml), '')
FROM (SELECT meter_id, ts, index_ml FROM readings
      WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[])  -- no constant: the planner would weigh each element
        AND ts >= to_timestamp($2::bigint) AND ($3::bigint IS NULL OR ts < to_timestamp($3::bigint)) LIMIT $4) found"""

_FURTHER = """
SELECT string_agg(int8send(meter_id), ''), string_agg(timestamptz_send(ts), ''), string_agg(int8send(index_ml), '')
FROM unnest($1::bigint[], $2::bigint[]) AS asked (meter_id, before_s)
CROSS JOIN LATERAL (
    SELECT ts, index_ml FROM readings r
    WHERE r.meter_id = asked.meter_id AND r.ts < to_timestamp(asked.before_s)
      AND r.ts >= to_timestamp(asked.before_s - $3::bigint)
      AND r.ts < to_timestamp($4::bigint) AND r.ts >= to_timestamp($5::bigint)  -- bounds that the planner sees
    ORDER BY ts DESC LIMIT $6
) found"""


async def read(
    connection: Any, meter_id: Ints, from_s: Ints, limit: int, until_s: int | None = None
) -> Readings | None:
    """Readings from an instant on and the few before it that matter, by position of the meter, which are sorted and
    each there once. None: there are more than `limit`."""
    first_s = int(from_s.min()) - BEFORE_S
    found = await columns(connection, _READ, meter_id.tolist(), first_s, until_s, limit + 1)
    if len(found[0]) > limit:
        return None
    position, ts_s, index_ml = np.searchsorted(meter_id, found[0]), unix_s(found[1]), found[2]
    inside = ts_s >= from_s[position] - BEFORE_S
    position, ts_s, index_ml = position[inside], ts_s[inside], index_ml[inside]
    begin_s = from_s - BEFORE_S
    lone = np.setdiff1d(np.arange(len(meter_id)), position[ts_s < from_s[position]])
    if len(lone):
        more, their_ts_s, their_index_ml = await _further(connection, meter_id[lone], from_s[lone])
        of = np.searchsorted(meter_id, more)
        np.minimum.at(begin_s, of, their_ts_s)
        position, ts_s = np.concatenate((position, of)), np.concatenate((ts_s, their_ts_s))
        index_ml = np.concatenate((index_ml, their_index_ml))
    laid_over = await _amendments(connection, meter_id, begin_s, until_s)
    return amended(position, ts_s, index_ml, laid_over)


async def _further(connection: Any, meter_id: Ints, from_s: Ints) -> tuple[Ints, Ints, Ints]:
    """The last readings of each meter before `from_s`."""
    bounds = int(from_s.max()), int(from_s.min()) - FAR_S
    found = await columns(connection, _FURTHER, meter_id.tolist(), from_s.tolist(), FAR_S, *bounds, MARGIN + 1)
    return found[0], unix_s(found[1]), found[2]


async def _amendments(connection: Any, meter_id: Ints, begin_s: Ints, until_s: int | None) -> Amendments:
    """In force, by position of the meter."""
    known, in_force = await amendments_of(connection, meter_id)
    position = np.searchsorted(meter_id, known.meter)
    wanted: Bools = in_force & (known.ts_s >= begin_s[position])
    if until_s is not None:
        wanted &= known.ts_s < until_s
    return known._replace(meter=position).only(wanted)
