"""A meter's clock, which is slow where nobody sets it: cold quartz loses about a second a day. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulators.local_time import DAY_S
from simulators.water.calendar import EPOCH_S

SLOW_S_A_DAY = (0.3, 2.0)
MAX_BEHIND_S = 3_000


class Clock(NamedTuple):
    """What it loses a day since EPOCH_S; 0: it is set with each report."""

    slow_s_a_day: float = 0.0

    def behind_s(self, ts_s: int) -> int:
        return min(int(self.slow_s_a_day * (ts_s - EPOCH_S) / DAY_S), MAX_BEHIND_S)


def never_set(draw: np.random.Generator) -> Clock:
    return Clock(float(draw.uniform(*SLOW_S_A_DAY)))
