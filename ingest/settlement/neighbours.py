"""How far the readings beside a stretch of time lie: near first, then further, within bounds that the planner sees.

A statement without such bounds opens every chunk of the table of readings, one for each day of ten years. No silence
longer than MAX_SPREAD_S is ever bridged, so nothing beyond one is looked for.

A meter without readings near by is looked for further away only where it has settled days. Every reading's day is
settled, or its span still waits: then settling that span will look back at what is settled now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ingest.columns import columns, unix_s
from metering.consumption import MAX_SPREAD_S, Bools, Ints, day_number, day_of

from .spans import DAY_S

LOOKS_S = (16 * DAY_S, 128 * DAY_S, MAX_SPREAD_S)
"""How far is looked, one after the other."""
MAX_TIMES = 1_500_000
"""Of one statement; half of the meters are asked at once where there would be more."""
_KEY_SHIFT = 35
_TURN_S = 2**_KEY_SHIFT - 1
"""Seen from here backwards, what is later is earlier: one search does for both sides."""

_TIMES = """
SELECT string_agg(int8send(meter_id), ''), string_agg(timestamptz_send(ts), '')
FROM (SELECT meter_id, ts FROM readings
      WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[])  -- no constant: the planner would weigh each element
        AND ts >= to_timestamp($2::bigint) AND ts <= to_timestamp($3::bigint) LIMIT $4) found"""

_SETTLED = """
SELECT string_agg(int8send(meter_id), ''), string_agg(int8send((first - $4::date)::bigint), ''),
       string_agg(int8send((last - $4::date)::bigint), '')
FROM (SELECT meter_id, min(day) AS first, max(day) AS last FROM settled_days
      WHERE meter_id = ANY((SELECT $1::bigint[])::bigint[]) AND day >= $2::date AND day <= $3::date
      GROUP BY meter_id) found"""


class Neighbours:
    """The readings on one side, earlier or later, through one connection."""

    def __init__(self, connection: Any, later: bool) -> None:
        self._connection, self._later = connection, later

    async def exist(self, meter_id: Ints, at_s: Ints, several: Bools, zone: ZoneInfo) -> Bools:
        """Which of these meters may have readings beyond `at_s` that matter there.

        `several`: those whose meter has other spans in hand, of which no day may be settled yet.
        """
        found = np.zeros(len(meter_id), np.bool_)
        for group in _slots(at_s):
            _, count = await self._look(meter_id[group], self._turned(at_s[group]), _ones(group), LOOKS_S[:1])
            found[group] = count > 0
            far = group[~found[group]]
            far = far[several[far] | await self._are_settled(meter_id[far], at_s[far], zone)]
            _, count = await self._look(meter_id[far], self._turned(at_s[far]), _ones(far), LOOKS_S)
            found[far] = count > 0
        return found

    async def outermost(self, meter_id: Ints, at_s: Ints, count: int) -> Ints:
        """Time of the `count`-th reading beyond `at_s`; of the last before a silence that is never bridged, where that
        comes first; `at_s` where there is none."""
        edge_s, lacking = self._turned(at_s), np.full(len(at_s), count)
        unsure = np.arange(len(at_s))
        while len(unsure):
            found = np.zeros(len(at_s), np.int64)
            for slot in _slots(edge_s[unsure]):
                group = unsure[slot]
                edge_s[group], found[group] = await self._look(meter_id[group], edge_s[group], lacking[group], LOOKS_S)
            lacking -= found
            unsure = np.flatnonzero((found > 0) & (lacking > 0))
        return self._turned(edge_s)

    def _turned(self, ts_s: Ints) -> Ints:
        return _TURN_S - ts_s if self._later else ts_s.copy()

    async def _look(self, meter_id: Ints, at_s: Ints, lacking: Ints, looks_s: tuple[int, ...]) -> tuple[Ints, Ints]:
        """In turned time: the outermost of up to `lacking` readings before each instant, and how many there are."""
        edge_s, found = at_s, np.zeros(len(at_s), np.int64)
        keys: Ints = np.zeros(0, np.int64)
        members = asked = np.unique(meter_id)
        until_s = int(at_s.max(initial=0)) - 1
        of = np.searchsorted(members, meter_id) << _KEY_SHIFT
        for look_s in looks_s:
            if not len(asked):
                break
            from_s = int(at_s.min()) - look_s
            times = await self._times(asked, from_s, until_s)
            keys = np.union1d(keys, (np.searchsorted(members, times[0]) << _KEY_SHIFT) + times[1])
            end = np.searchsorted(keys, of + at_s, "left")
            found = np.minimum(end - np.searchsorted(keys, of, "left"), lacking)
            edge_s = np.where(found > 0, np.append(keys, 0)[end - found] - of, at_s)
            asked, until_s = np.unique(meter_id[found < lacking]), from_s - 1
        return edge_s, found

    async def _times(self, meter_id: Ints, from_s: int, until_s: int) -> tuple[Ints, Ints]:
        """Meters and turned times of all their readings between these turned times."""
        low_s, high_s = (_TURN_S - until_s, _TURN_S - from_s) if self._later else (from_s, until_s)
        limit = MAX_TIMES + 1 if len(meter_id) > 1 else None
        found, us = await columns(self._connection, _TIMES, meter_id.tolist(), low_s, high_s, limit)
        if limit is None or len(found) < limit:
            return found, self._turned(unix_s(us))
        halves = [await self._times(half, from_s, until_s) for half in np.array_split(meter_id, 2)]
        return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])

    async def _are_settled(self, meter_id: Ints, at_s: Ints, zone: ZoneInfo) -> Bools:
        """Which of these meters have settled days on that side, where it has not been looked near by."""
        if not len(meter_id):
            return np.zeros(0, np.bool_)
        at_s = at_s + (LOOKS_S[0] if self._later else -LOOKS_S[0])
        low_s, high_s = int(at_s.min()), int(at_s.max())
        bounds_s = np.array((low_s, high_s + MAX_SPREAD_S) if self._later else (low_s - MAX_SPREAD_S, high_s))
        bounds = [day_of(zone, number) for number in day_number(zone, bounds_s).tolist()]
        members, first, last = await columns(
            self._connection, _SETTLED, np.unique(meter_id).tolist(), *bounds, day_of(zone, 0)
        )
        order = np.argsort(members)
        members, first, last = members[order], first[order], last[order]
        known = np.isin(meter_id, members)
        of, day = np.searchsorted(members, meter_id[known]), day_number(zone, at_s[known])
        known[known] = last[of] >= day if self._later else first[of] <= day
        return known


def _slots(at_s: Ints) -> Iterator[Ints]:
    """Positions of instants that lie near one another."""
    slot = at_s // LOOKS_S[0]
    for number in np.unique(slot).tolist():
        yield np.flatnonzero(slot == number)


def _ones(group: Ints) -> Ints:
    return np.ones(len(group), np.int64)
