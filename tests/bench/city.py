"""Readings of a city for the benchmarks of the tables: as many meters as wanted, curves of simulated households.

A thousand households are simulated; each meter has the steps of one of them on a register of its own. No table keeps
two meters' readings in a way that could gain from that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ingest.copy_encoding import encode_readings
from ingest.readings import Int64s
from simulators.water.block import hourly_ml
from simulators.water.users import BLOCK

HOUR_S, DAY_S = 3_600, 86_400
START_S = 1_767_225_600
"""2026-01-01 00:00 UTC, where chunks of one and of seven days begin."""
READINGS_PER_DAY = 24
HOUSEHOLDS = 1_000
ML_PER_L = 1_000
MAX_START_L = 90_000


class Rows(NamedTuple):
    """Columns of readings, sorted by meter and time."""

    meter_id: Int64s
    ts_s: Int64s
    index_ml: Int64s

    def encoded(self) -> bytearray:
        """As binary COPY takes them; all hourly."""
        return encode_readings(self.meter_id, self.ts_s, np.zeros(len(self.ts_s), np.int16), self.index_ml)


class City:
    """Meters 1 … `meters` with hourly readings of `days` days from START_S."""

    def __init__(self, meters: int, days: int, seed: int = 1) -> None:
        self.meters, self.days = meters, days
        blocks = range((min(HOUSEHOLDS, meters) + BLOCK - 1) // BLOCK)
        hourly = [hourly_ml(seed, block, START_S, days * DAY_S // HOUR_S - 1) for block in blocks]
        self._steps_ml = np.concatenate(hourly)[: min(HOUSEHOLDS, meters)] // ML_PER_L * ML_PER_L
        self._start_ml = np.random.default_rng(seed).integers(0, MAX_START_L, meters + 1) * ML_PER_L

    def day(self, meter_id: Int64s, day: int) -> Rows:
        """The 24 readings of one day (0: the first) of these meters."""
        hours = slice(day * READINGS_PER_DAY, (day + 1) * READINGS_PER_DAY)
        index_ml = self._steps_ml[meter_id % len(self._steps_ml), hours] + self._start_ml[meter_id, None]
        ts_s = START_S + day * DAY_S + np.arange(READINGS_PER_DAY) * HOUR_S
        return Rows(np.repeat(meter_id, READINGS_PER_DAY), np.tile(ts_s, len(meter_id)), index_ml.ravel())

    def late(self, random: np.random.Generator, count: int, first_day: int, days: int) -> Rows:
        """Readings that no daily report has, of `count` different meters, somewhere in these days, by day."""
        meter_id = random.choice(self.meters, count, replace=False) + 1
        hour = random.integers(first_day * READINGS_PER_DAY, (first_day + days) * READINGS_PER_DAY, count)
        ts_s = START_S + hour * HOUR_S + random.integers(60, HOUR_S - 60, count)
        order = np.lexsort((meter_id, ts_s // DAY_S))
        index_ml = self._steps_ml[meter_id % len(self._steps_ml), hour] + self._start_ml[meter_id]
        return Rows(meter_id[order], ts_s[order], index_ml[order])
