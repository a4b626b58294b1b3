"""What rules must know of meters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metering.consumption import Q4_PER_Q3_MILLI, Ints, Limits


class Meters(NamedTuple):
    """One entry per meter, sorted by `meter_id`."""

    meter_id: Ints
    dn_mm: Ints
    q3_l_h: Ints
    register_max_ml: Ints
    pulse_ml: Ints

    def of(self, meter_id: Ints) -> Meters:
        """One entry for each of these known meters, in their order."""
        at = np.searchsorted(self.meter_id, meter_id)
        return Meters(*(column[at] for column in self))

    @property
    def limits(self) -> Limits:
        return Limits(self.q3_l_h * Q4_PER_Q3_MILLI, self.register_max_ml, self.pulse_ml)
