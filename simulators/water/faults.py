"""What goes wrong behind a meter or in it, and what only looks like it; known in size and time. Pure.

A fault adds flow (leaks, a pool, back flow) or changes how much of the water is counted (a stuck register), in one
spell or in spells that come again: someone repairs it, later it is back. Rates are those that makers and utilities
report: dripping taps below 5 L/h, cisterns tens, pipes up to hundreds, bursts from 600 L/h on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from simulators.local_time import DAY_S, HOUR_S
from simulators.water.calendar import EPOCH_S, WEEK_S, Floats, Ints

ML_PER_L = 1_000
RECURS_S = 4 * WEEK_S
"""In a town that lives on: whole weeks, so that the water at a spell's bounds is known without playing its days."""
REVERSE_ON_S, REVERSE_OFF_S = HOUR_S, 6 * HOUR_S
SECONDS_ROUNDED_TO = 600


class FaultKind(StrEnum):
    """Names are those of leakbench's truth. What begins with `c_` is harmless: any alert there is false."""

    DRIP = "drip"
    TOILET = "toilet"
    CYCLIC = "toilet_cyclic"
    PIPE = "pipe"
    GROWING = "growing"
    BURST = "burst"
    REVERSE = "reverse"
    STUCK = "stuck"
    UNDER = "under"
    NOREPORT = "noreport"
    ABSENCE = "c_absence"
    POOL = "c_pool"
    IRRIGATION = "c_irrigation"
    GUESTS = "c_guests"
    GAP = "c_gap"

    @property
    def harmless(self) -> bool:
        return self.value.startswith("c_")

    @property
    def in_the_meter(self) -> bool:
        """The water that the district delivers is not changed by it."""
        return self in (FaultKind.STUCK, FaultKind.UNDER, FaultKind.REVERSE)


SHARES = {
    FaultKind.DRIP: 0.10, FaultKind.TOILET: 0.14, FaultKind.CYCLIC: 0.08, FaultKind.PIPE: 0.08,
    FaultKind.GROWING: 0.08, FaultKind.BURST: 0.08, FaultKind.REVERSE: 0.05, FaultKind.STUCK: 0.07,
    FaultKind.UNDER: 0.07, FaultKind.NOREPORT: 0.04, FaultKind.ABSENCE: 0.05, FaultKind.POOL: 0.03,
    FaultKind.IRRIGATION: 0.04, FaultKind.GUESTS: 0.05, FaultKind.GAP: 0.04,
}  # fmt: skip
"""Of the meters that have something."""
RECURRING = (
    FaultKind.DRIP, FaultKind.TOILET, FaultKind.CYCLIC, FaultKind.PIPE, FaultKind.GROWING, FaultKind.BURST,
    FaultKind.REVERSE, FaultKind.STUCK, FaultKind.UNDER,
)  # fmt: skip
"""What meters of a town that lives on may have. Those that fall silent are `Meter.silent`."""

RATES_L_H = {
    FaultKind.DRIP: (0.5, 4.0), FaultKind.TOILET: (5.0, 45.0), FaultKind.CYCLIC: (10.0, 60.0),
    FaultKind.PIPE: (40.0, 300.0), FaultKind.GROWING: (10.0, 90.0), FaultKind.BURST: (600.0, 2_500.0),
    FaultKind.REVERSE: (3.0, 40.0), FaultKind.POOL: (200.0, 500.0), FaultKind.IRRIGATION: (30.0, 250.0),
}  # fmt: skip
DAYS_LONG = {
    FaultKind.BURST: (0.15, 2.5), FaultKind.ABSENCE: (5.0, 21.0), FaultKind.POOL: (0.4, 0.9),
    FaultKind.GUESTS: (4.0, 14.0), FaultKind.GAP: (0.5, 2.5),
}  # fmt: skip
"""The others last until somebody repairs them: `REPAIRED_DAYS`, or to the end."""
REPAIRED_DAYS = (4.0, 25.0)
REPAIRED_SHARE = 0.4
RECURRING_DAYS = {FaultKind.BURST: (0.5, 1.5), FaultKind.PIPE: (8.0, 20.0)}
RECURRING_DAYS_OTHERWISE = (12.0, 26.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """`rate_l_h` flows for `on_s`, then rests for `off_s` (0: never rests), once it has grown for `grows_s`; below zero
    it flows back. `counted`: of the users' own water so much is on the register meanwhile."""

    kind: FaultKind
    from_s: int
    lasts_s: int
    rate_l_h: float = 0.0
    counted: float = 1.0
    on_s: int = HOUR_S
    off_s: int = 0
    grows_s: int = 0
    every_s: int = 0
    """From the begin of one spell to that of the next; 0: there is one spell."""

    def spells(self, from_s: int, until_s: int) -> Iterator[tuple[int, int]]:
        """Those that touch the span: begin and end."""
        begin = self.from_s
        if self.every_s and from_s > begin:
            begin += (from_s - begin) // self.every_s * self.every_s
        while begin < until_s:
            if begin + self.lasts_s > from_s:
                yield begin, begin + self.lasts_s
            if not self.every_s:
                return
            begin += self.every_s

    def active(self, ts_s: int) -> bool:
        return any(True for _ in self.spells(ts_s, ts_s + 1))

    def added_ml(self, ts_s: Ints) -> Ints:
        """What flowed besides the users' water until these instants."""
        since = np.maximum(ts_s - self.from_s, 0)
        before, in_spell = np.divmod(since, self.every_s) if self.every_s else (np.zeros_like(since), since)
        whole = self._spell_l(np.array([self.lasts_s]))
        litres = before * whole + self._spell_l(np.minimum(in_spell, self.lasts_s))
        added: Ints = np.floor(litres * ML_PER_L).astype(np.int64)
        return added

    def _spell_l(self, since_s: Ints) -> Floats:
        cycles, rest = np.divmod(since_s, self.on_s + self.off_s)
        flowing = (cycles * self.on_s + np.minimum(rest, self.on_s)).astype(float)
        if self.grows_s:
            flowing = np.where(flowing < self.grows_s, flowing**2 / (2 * self.grows_s), flowing - self.grows_s / 2)
        litres: Floats = flowing * self.rate_l_h / HOUR_S
        return litres

    def on_register_ml(self, ts_s: Ints, water_ml: Ints, at: Callable[[int], int]) -> Ints:
        """What the register shows more, or less, than the users' own water. `water_ml`: that water at these instants;
        `at`: at any instant."""
        changed = self.added_ml(ts_s)
        if self.counted == 1.0 or not len(ts_s):
            return changed
        used = np.zeros(len(ts_s), np.int64)
        for begin, end in self.spells(self.from_s, int(ts_s[-1]) + 1):
            begin_ml, end_ml = at(begin), at(end) if end <= ts_s[-1] else 0
            used += np.where(ts_s <= begin, 0, np.where(ts_s < end, water_ml, end_ml) - begin_ml)
        changed += np.floor(used * (self.counted - 1)).astype(np.int64)
        return changed


def single_fault(draw: np.random.Generator, kind: FaultKind, earliest_s: int, latest_s: int, end_s: int) -> Fault:
    """Begins once between the two instants, on the hour; of what nobody repairs the end is `end_s`."""
    from_s = int(draw.integers(earliest_s // HOUR_S, latest_s // HOUR_S + 1)) * HOUR_S
    if kind in DAYS_LONG:
        days = draw.uniform(*DAYS_LONG[kind])
    elif kind is FaultKind.IRRIGATION or draw.random() > REPAIRED_SHARE:
        days = (end_s - from_s) / DAY_S
    else:
        days = draw.uniform(*REPAIRED_DAYS)
    lasts_s = min(round(days * DAY_S / HOUR_S) * HOUR_S, end_s - from_s)
    return _sized(draw, kind, from_s, lasts_s, 0)


def recurring_fault(draw: np.random.Generator) -> Fault:
    """Of a meter of a town that lives on: a spell in every RECURS_S since EPOCH_S."""
    shares = np.array([SHARES[kind] for kind in RECURRING])
    kind = RECURRING[int(draw.choice(len(RECURRING), p=shares / shares.sum()))]
    if kind in (FaultKind.STUCK, FaultKind.UNDER):
        return _sized(draw, kind, EPOCH_S + int(draw.integers(4)) * WEEK_S, 2 * WEEK_S, RECURS_S)
    days = draw.uniform(*RECURRING_DAYS.get(kind, RECURRING_DAYS_OTHERWISE))
    phase_s = int(draw.integers(RECURS_S // SECONDS_ROUNDED_TO)) * SECONDS_ROUNDED_TO
    return _sized(draw, kind, EPOCH_S + phase_s, int(days * DAY_S), RECURS_S)


def _sized(draw: np.random.Generator, kind: FaultKind, from_s: int, lasts_s: int, every_s: int) -> Fault:
    rate = float(np.exp(draw.uniform(*np.log(RATES_L_H[kind])))) if kind in RATES_L_H else 0.0
    on_s, off_s, grows_s, counted = HOUR_S, 0, 0, 1.0
    match kind:
        case FaultKind.CYCLIC:
            on_s, off_s = int(draw.integers(4, 14)) * HOUR_S, int(draw.integers(2, 8)) * HOUR_S
        case FaultKind.IRRIGATION:
            on_s, off_s = 2 * HOUR_S, 22 * HOUR_S
        case FaultKind.REVERSE:
            rate, on_s, off_s = -rate, REVERSE_ON_S, REVERSE_OFF_S
        case FaultKind.GROWING:
            grows_s = int(draw.integers(7, 30)) * DAY_S
        case FaultKind.UNDER:
            counted = float(draw.uniform(0.25, 0.6))
        case FaultKind.STUCK | FaultKind.ABSENCE:
            counted = 0.0
        case FaultKind.GUESTS:
            counted = 1.8
    return Fault(kind, from_s, lasts_s, rate, counted, on_s, off_s, grows_s, every_s)
