"""Hours of the districts to which readings came so late that no look by age finds them: noted, then computed again.

Settlement notes the hours that its spans touch, where a district has a balance of them; the districts' stage takes
the first noted, a few at a time and each after a while, so that stragglers of one day are waited for together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from metering.consumption import HOUR_S, Ints

from .zone_hours import LAGS_H, MAX_HOURS

BESIDE_S = 3 * HOUR_S
"""A reading changes the hours up to its neighbours; those further away would not have been looked for
(`hour_sums.REACH_H`)."""
FAR_H = 400 * 24
"""Hours further in the past are not noted: no district is looked at so far back."""
WAIT_S = 3_600
MAX_LATE = MAX_HOURS // 2
"""Of one look for past hours: the rest is left to those that have no balance at all."""

_NOTE = """
INSERT INTO late_zone_hours (hour)
SELECT to_timestamp(hour_s) FROM unnest($1::bigint[]) AS touched (hour_s)
WHERE EXISTS (SELECT FROM zone_hours h WHERE h.hour = to_timestamp(hour_s))
ORDER BY hour_s
ON CONFLICT (hour) DO UPDATE SET changes = late_zone_hours.changes + 1"""

_DUE = """
SELECT extract(epoch FROM hour)::bigint, changes FROM late_zone_hours
WHERE noted_at <= to_timestamp($1::bigint) AND hour >= to_timestamp($2::bigint) ORDER BY noted_at, hour DESC LIMIT $3"""

_DONE = """
DELETE FROM late_zone_hours WHERE hour IN (
    SELECT l.hour FROM late_zone_hours l
    JOIN unnest($1::bigint[], $2::int[]) AS done (hour_s, changes)
        ON l.hour = to_timestamp(done.hour_s) AND l.changes = done.changes
    ORDER BY l.hour FOR UPDATE OF l SKIP LOCKED)"""

_FORGET = """
DELETE FROM late_zone_hours WHERE hour IN (
    SELECT hour FROM late_zone_hours WHERE hour < to_timestamp($1::bigint) ORDER BY hour FOR UPDATE SKIP LOCKED)"""


class LateHour(NamedTuple):
    hour_s: int
    changes: int


def touched(from_s: Ints, to_s: Ints, now_s: int) -> Ints:
    """Beginnings of the hours that readings between these instants reach, of those that are looked at no more; each
    once, sorted, at most FAR_H + 1."""
    newest = now_s // HOUR_S - LAGS_H[-1]
    oldest = newest - FAR_H
    first = np.clip((from_s - BESIDE_S) // HOUR_S, oldest, newest + 1) - oldest
    after = np.clip((to_s + BESIDE_S) // HOUR_S, oldest - 1, newest) - oldest + 1
    begun = np.zeros(FAR_H + 2, np.int64)
    np.add.at(begun, first, 1)
    np.add.at(begun, after, -1)
    hours: Ints = (np.flatnonzero(np.cumsum(begun) > 0) + oldest) * HOUR_S
    return hours


async def note(connection: Any, from_s: Ints, to_s: Ints, now_s: int) -> None:
    """Readings between these instants are settled anew. Joins the caller's transaction."""
    hours = touched(from_s, to_s, now_s)
    if len(hours):
        await connection.execute(_NOTE, hours.tolist())


async def due(pool: Any, now_s: int, oldest_s: int) -> list[LateHour]:
    """At most MAX_LATE, those noted first; those before `oldest_s` are forgotten."""
    await pool.execute(_FORGET, oldest_s)
    return [LateHour(*row) for row in await pool.fetch(_DUE, now_s - WAIT_S, oldest_s, MAX_LATE)]


async def waiting(pool: Any) -> int:
    """How many are noted, those that are not due yet included."""
    return int(await pool.fetchval("SELECT count(*) FROM late_zone_hours"))


async def done(connection: Any, hours: list[LateHour]) -> None:
    """They were computed since they were due."""
    await connection.execute(_DONE, [hour.hour_s for hour in hours], [hour.changes for hour in hours])
