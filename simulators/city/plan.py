"""What a city written to files consists of: its meters' places, clocks and habits of reporting, and their faults. Pure.

A meter is the same whatever the number of meters, as its users are: what is drawn is drawn by block.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import DAY_S
from simulators.radio import ECL_1_BELOW_DDBM, ECL_2_BELOW_DDBM
from simulators.water.block import block
from simulators.water.calendar import Floats, Ints
from simulators.water.faults import SHARES, Fault, FaultKind, single_fault
from simulators.water.users import BLOCK, Dwelling, UserKind

Bools = NDArray[np.bool_]

CELLS_PER_DISTRICT = 4
FIRST_CELL = 0x0A0C00
LEARNING_DAYS, WATCHED_DAYS = 30, 21
"""No fault begins before the first has passed, or later than the second before the end; in short runs a third each."""
BACKLOG_SHARE = 0.8
"""Meters that keep what they could not send."""
NEVER_SET_SHARE = 0.03
"""Meters whose clock nobody sets: cold quartz is slow, 1 s a day at 5 °C."""
NEVER_SET_S, SLOW_S_A_DAY = 1_200, (0.3, 2.0)
HERD_SHARE, HERD_S = 0.2, 1_200
"""A maker's meters all report soon after midnight."""
LOST_SHARE = (0.002, 0.006, 0.03)
"""Reports that never arrive, by coverage level."""
HOUR_LOST_SHARE = 0.002
METER_ID_FROM = 1_000_000


@dataclass(frozen=True, slots=True)
class CityOptions:
    """`start_s`: midnight in China of the first day. `faults`: the share of meters that have something."""

    meters: int
    days: int
    start_s: int
    seed: int = 1
    districts: int = 1
    faults: float = 0.3

    @property
    def end_s(self) -> int:
        return self.start_s + self.days * DAY_S

    @property
    def blocks(self) -> int:
        return -(-self.meters // BLOCK)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Meters of a block, or of several; each array has one entry a meter."""

    kind: Ints
    people: Ints
    lived_in: Bools
    district: Ints
    cell: Ints
    rsrp_ddbm: Ints
    ecl: Ints
    dn_mm: Ints
    report_second: Ints
    keeps_backlog: Bools
    behind_s: Floats
    """How slow its clock is at `start_s`; set daily where 0."""
    slow_s_a_day: Floats


class CityPlan:
    def __init__(self, options: CityOptions) -> None:
        self.options = options
        self.known_water_ml: dict[tuple[int, int], int] = {}
        """By meter and instant: two of each meter with a fault."""

    def fleet(self, number: int) -> Fleet:
        """Of the block; the last one's is as long as that of the others."""
        seed, districts = self.options.seed, self.options.districts
        users = block(seed, number).users
        draw = np.random.default_rng((seed, number, 1_000_117))
        district = np.floor(draw.random(BLOCK) ** 1.3 * districts).astype(np.int64)
        cell = district * CELLS_PER_DISTRICT + draw.integers(0, CELLS_PER_DISTRICT, BLOCK)
        rsrp = np.clip(self._cell_rsrp[cell] + draw.normal(0, 95, BLOCK), -1_320, -700).astype(np.int64)
        home = users.kind == UserKind.HOME
        herd, never_set = draw.random(BLOCK) < HERD_SHARE, draw.random(BLOCK) < NEVER_SET_SHARE
        return Fleet(
            kind=users.kind,
            people=users.people,
            lived_in=users.dwelling == Dwelling.LIVED_IN,
            district=district,
            cell=FIRST_CELL + cell,
            rsrp_ddbm=rsrp,
            ecl=(rsrp < ECL_1_BELOW_DDBM).astype(np.int64) + (rsrp < ECL_2_BELOW_DDBM),
            dn_mm=np.where(home, draw.choice([15, 20], BLOCK, p=[0.85, 0.15]), draw.choice([20, 25, 40], BLOCK)),
            report_second=np.where(herd, draw.integers(0, HERD_S, BLOCK), draw.integers(0, DAY_S, BLOCK)),
            keeps_backlog=draw.random(BLOCK) < BACKLOG_SHARE,
            behind_s=draw.uniform(0, NEVER_SET_S, BLOCK) * never_set,
            slow_s_a_day=draw.uniform(*SLOW_S_A_DAY, BLOCK) * never_set,
        )

    @cached_property
    def _cell_rsrp(self) -> Floats:
        """Mean signal by cell, in 0.1 dBm."""
        draw = np.random.default_rng((self.options.seed, 1_000_121))
        return draw.normal(-980, 60, self.options.districts * CELLS_PER_DISTRICT)

    @cached_property
    def whole_fleet(self) -> Fleet:
        """Of all the city's meters."""
        parts = [self.fleet(number) for number in range(self.options.blocks)]
        names = [field.name for field in fields(Fleet)]
        return Fleet(**{
            name: np.concatenate([getattr(part, name) for part in parts])[: self.options.meters] for name in names
        })  # fmt: skip

    @cached_property
    def faults(self) -> dict[int, Fault]:
        """By meter. Only those in use have one: at others nothing could be seen of most."""
        options = self.options
        kinds, shares = list(SHARES), np.array(list(SHARES.values()))
        learning_s = min(LEARNING_DAYS * DAY_S, options.days * DAY_S // 3)
        watched_s = min(WATCHED_DAYS * DAY_S, options.days * DAY_S // 3)
        found = {}
        for number in np.flatnonzero(self.whole_fleet.lived_in).tolist():
            draw = np.random.default_rng((options.seed, number, 1_000_133))
            if draw.random() < options.faults:
                kind = FaultKind(kinds[int(draw.choice(len(kinds), p=shares / shares.sum()))])
                found[number] = single_fault(
                    draw, kind, options.start_s + learning_s, options.end_s - watched_s, options.end_s
                )  # fmt: skip
        return found


def meter_id(number: int) -> str:
    return f"M{METER_ID_FROM + number}"
