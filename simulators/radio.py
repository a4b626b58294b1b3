"""Radio conditions of a meter in its pit: signal, coverage level, and what they do to its messages. Pure, seeded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ECL_1_BELOW_DDBM, ECL_2_BELOW_DDBM = -1_100, -1_200
DELAY_S = (0.3, 1.5, 5.0)
"""Mean delay of an uplink by coverage level (PROTOCOLS F: up to ~10 s in level 2)."""
REPEAT_SHARE = (0.005, 0.02, 0.08)
"""Reports whose answer is lost on the way back, so that they come once more."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """One message's luck. `repeated`: the answer does not reach the meter, which sends the report again."""

    rsrp_ddbm: int
    snr_ddb: int
    ecl: int
    delay_s: float
    repeated: bool


@dataclass(frozen=True, slots=True)
class Radio:
    """A place: its mean signal, in 0.1 dBm, and its cell."""

    mean_rsrp_ddbm: int
    cell_id: int

    @property
    def usual_ecl(self) -> int:
        return _coverage_level(self.mean_rsrp_ddbm)

    def conditions(self, draw: np.random.Generator) -> Conditions:
        rsrp = int(np.clip(self.mean_rsrp_ddbm + draw.normal(0, 25), -1_400, -600))
        snr = int(np.clip((rsrp + 1_150) / 4 + draw.normal(0, 15), -120, 300))
        ecl = _coverage_level(rsrp)
        delay_s = float(min(10.0, draw.exponential(DELAY_S[ecl])))
        return Conditions(rsrp, snr, ecl, delay_s, bool(draw.random() < REPEAT_SHARE[ecl]))


def _coverage_level(rsrp_ddbm: int) -> int:
    return 0 if rsrp_ddbm >= ECL_1_BELOW_DDBM else 1 if rsrp_ddbm >= ECL_2_BELOW_DDBM else 2


def radio(seed: int, number: int) -> Radio:
    """The place of meter `number`: most are good, cellars and iron lids are not."""
    draw = np.random.default_rng((seed, number, 1_000_033))
    return Radio(int(np.clip(draw.normal(-980, 110), -1_300, -700)), int(0x0A0B00 + draw.integers(0, 12)))
