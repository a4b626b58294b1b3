"""Settled days against a recomputation from the stored readings: equal, and telescoping to the millilitre."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np

from metering import consumption
from metering.consumption import Limits

EXAMPLES = 5
METERS_A_TURN = 100
RULES = consumption.Rules()
"""Those that settlement has unless somebody sets others."""


class Day(NamedTuple):
    day: int
    """Ordinal, as `date.toordinal`."""
    start_index_ml: int
    end_index_ml: int
    consumption_ml: int
    excluded_ml: int
    complete: bool


@dataclass(slots=True)
class Settled:
    days: int = 0
    missing: int = 0
    """Recomputed and not settled."""
    wrong: int = 0
    """Settled otherwise than recomputed, or settled without a reading."""
    torn: int = 0
    """Does not begin where the day before ended, or its parts do not sum to its index difference."""
    examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.missing or self.wrong or self.torn)

    def note(self, kind: str, meter_id: int, days: Iterable[Day]) -> int:
        found = sorted(days)
        for day in found[: max(0, EXAMPLES - len(self.examples))]:
            self.examples.append(f"{kind}: meter {meter_id} {day}")
        return len(found)


async def compare_days(connection: asyncpg.Connection, timezone: str) -> Settled:
    """Of every meter that has a reading or a settled day."""
    result, zone = Settled(), ZoneInfo(timezone)
    meters = await connection.fetch("SELECT meter_id, q3_l_h, register_max_ml, pulse_ml, dn_mm FROM meters ORDER BY 1")
    for first in range(0, len(meters), METERS_A_TURN):
        turn = meters[first : first + METERS_A_TURN]
        settled = await _settled(connection, [meter["meter_id"] for meter in turn])
        readings = await _readings(connection, [meter["meter_id"] for meter in turn])
        for meter in turn:
            ts_s, index_ml = readings.get(meter["meter_id"], ([], []))
            limits = Limits.of(meter["q3_l_h"], meter["register_max_ml"], meter["pulse_ml"])
            bridge_s = int(RULES.bridge_s(np.array([meter["dn_mm"]]))[0])
            found = recompute(ts_s, index_ml, limits, bridge_s, zone)
            _compare(result, meter["meter_id"], settled.get(meter["meter_id"], []), found)
    return result


def recompute(ts_s: list[int], index_ml: list[int], limits: Limits, bridge_s: int, zone: ZoneInfo) -> list[Day]:
    """All days of one meter from all its readings at once; `bridge_s` as in `metering.consumption.Rules`."""
    readings = consumption.ordered(np.array(ts_s, np.int64), np.array(index_ml, np.int64))
    curve = consumption.filled_alone(readings, limits, bridge_s, zone)
    _, number, days = consumption.days(curve, zone)
    columns = (days.start_index_ml, days.end_index_ml, days.consumption_ml, days.excluded_ml, days.complete)
    first = consumption.midnights(zone)[0]
    return [
        Day(first + day, *row)
        for day, *row in zip(number.tolist(), *(column.tolist() for column in columns), strict=True)
    ]


def _compare(result: Settled, meter_id: int, settled: list[Day], wanted: list[Day]) -> None:
    result.days += len(settled)
    of_day = {day.day: day for day in settled}
    result.missing += result.note("missing", meter_id, (day for day in wanted if day.day not in of_day))
    expected = set(wanted)
    result.wrong += result.note("wrong", meter_id, (day for day in settled if day not in expected))
    torn = {day for day in settled if day.end_index_ml - day.start_index_ml != day.consumption_ml + day.excluded_ml}
    torn |= {
        after
        for before, after in pairwise(settled)
        if after.day == before.day + 1 and after.start_index_ml != before.end_index_ml
    }
    result.torn += result.note("torn", meter_id, torn)


async def _settled(connection: asyncpg.Connection, meters: list[int]) -> dict[int, list[Day]]:
    rows = await connection.fetch(
        """SELECT meter_id, day, start_index_ml, end_index_ml, consumption_ml, excluded_ml, complete
           FROM settled_days WHERE meter_id = ANY($1) ORDER BY meter_id, day""",
        meters,
    )
    found: dict[int, list[Day]] = {}
    for meter_id, day, *rest in rows:
        found.setdefault(meter_id, []).append(Day(day.toordinal(), *rest))
    return found


async def _readings(connection: asyncpg.Connection, meters: list[int]) -> dict[int, tuple[Any, Any]]:
    rows = await connection.fetch(
        """SELECT meter_id, array_agg(extract(epoch FROM ts)::bigint ORDER BY ts), array_agg(index_ml ORDER BY ts)
           FROM readings WHERE meter_id = ANY($1) GROUP BY meter_id""",
        meters,
    )
    return {meter_id: (ts_s, index_ml) for meter_id, ts_s, index_ml in rows}
