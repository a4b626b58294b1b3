"""The load generator's meters: what report n of meter m says is a pure function of the run, so that millions of
reports need not be remembered to be compared with the database afterwards.

Every meter draws the same water each day, nothing at night. Its index is a function of the instant alone, so readings
of several runs on one database never contradict each other; each run has its own second of the hour (`Plan.offset_s`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from simulators.local_time import DAY_S, HOUR_S, UTC_OFFSET_S

LITRES_BY_HOUR = (0, 0, 0, 0, 0, 4, 22, 38, 26, 10, 8, 14, 24, 12, 6, 6, 10, 22, 40, 36, 28, 22, 12, 4)
_BEFORE_HOUR = (0, *accumulate(LITRES_BY_HOUR))
DAILY_L = _BEFORE_HOUR[-1]
METERS_MAX = 1_000_000
SERIAL_BASE = 900_000_000_000
"""Serials of load meters: twelve digits beginning with 9, not to be taken for a town's."""
INDEX_STEPS, INDEX_STEP_L = 1000, 1000
"""Meters differ in the index they began with."""


def serial(meter: int) -> str:
    return str(SERIAL_BASE + meter)


def index_l(meter: int, ts_s: int) -> int:
    """Index of the meter in whole litres at an instant; never falls."""
    day, second = divmod(ts_s + UTC_OFFSET_S, DAY_S)
    hour, rest = divmod(second, HOUR_S)
    drawn_l = (day - 14_610) * DAILY_L + _BEFORE_HOUR[hour] + LITRES_BY_HOUR[hour] * rest // HOUR_S
    return meter % INDEX_STEPS * INDEX_STEP_L + drawn_l


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Report i belongs to meter i mod `meters` and is its report number i div `meters`."""

    meters: int
    reports: int
    readings: int
    first_s: int
    """Instant of every meter's first reading; each report covers the day after the previous one."""
    seq_base: int

    @property
    def interval_s(self) -> int:
        return DAY_S // self.readings

    @property
    def offset_s(self) -> int:
        return self.first_s % HOUR_S

    def seq(self, number: int) -> int:
        return (self.seq_base + number) & 0xFFFFFFFF

    def instants(self, number: int) -> list[int]:
        start = self.first_s + number * DAY_S
        return list(range(start, start + self.readings * self.interval_s, self.interval_s))

    def deltas_l(self) -> list[int]:
        """Differences between a report's readings: the same for every meter and day."""
        indices = [index_l(0, ts) for ts in self.instants(0)]
        return [after - before for before, after in pairwise(indices)]


def plan(rate: float, duration_s: float, meters: int, readings: int, now_s: float, offset_s: int) -> Plan:
    """A run that ends before `now_s`. Raises ValueError with what to change when the numbers cannot be."""
    reports = round(rate * duration_s)
    if reports < 1:
        raise ValueError("rate times duration is less than one report")
    if readings < 1 or DAY_S % readings or DAY_S // readings > 0xFFFF:
        raise ValueError("readings must divide a day and be at least 2: 4, 6, 8, 12, 24, 48, 96 …")
    if not 1 <= meters <= METERS_MAX:
        raise ValueError(f"meters must be 1 to {METERS_MAX}")
    days = -(-reports // meters)
    if days > 3650:
        raise ValueError(f"each meter would report {days} days: take at least {-(-reports // 3650)} meters")
    first_s = (int(now_s) // HOUR_S - 24 * (days + 1)) * HOUR_S + offset_s % HOUR_S
    return Plan(meters, reports, readings, first_s, int(now_s * 100) & 0xFFFFFFFF)
