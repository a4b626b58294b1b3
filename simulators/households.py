"""One water user behind one meter: what its register shows, as a pure function of seed, meter and instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulators.local_time import HOUR_S
from simulators.water.block import ML_PER_L, block, week_ml
from simulators.water.calendar import EPOCH_S, WEEK_S
from simulators.water.faults import Fault, recurring_fault
from simulators.water.users import BLOCK

FAULT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Household:
    """`number` tells it from the others of the same seed; it may as well be a shop."""

    seed: int
    number: int
    fault: Fault | None

    def index_l(self, ts_s: int) -> int:
        """Whole litres on the register at an instant from EPOCH_S to END_S; falls only where water flows back."""
        water = self.water_ml(ts_s)
        if self.fault is not None:
            water += int(self.fault.on_register_ml(np.array([ts_s]), np.array([water]), self.water_ml)[0])
        return water // ML_PER_L

    def water_ml(self, ts_s: int) -> int:
        """What was used since the register showed nothing, leaks left out."""
        in_block = self.number % BLOCK
        week, second = divmod(ts_s - EPOCH_S, WEEK_S)
        before = int(block(self.seed, self.number // BLOCK).before_l[in_block, week]) * ML_PER_L
        if not second:
            return before
        hour, rest_s = divmod(second, HOUR_S)
        upto, then = week_ml(self.seed, self.number // BLOCK, week)[in_block, hour : hour + 2].tolist()
        return int(before + upto + (then - upto) * rest_s // HOUR_S)


def household(seed: int, number: int, fault_share: float = FAULT_SHARE) -> Household:
    """The household behind meter `number` of a town; about `fault_share` of them have a fault now and then."""
    draw = np.random.default_rng((seed, number, 1_000_003))
    return Household(seed, number, recurring_fault(draw) if draw.random() < fault_share else None)
