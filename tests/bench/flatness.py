"""Whether a backlog is flat: a line is fitted through its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SETTLED_SHARE = 0.2
"""The first part of the samples is left out: batches and caches find their size."""
GROWTH_SHARE = 0.01
"""A backlog is flat when it grows by less than this share of what comes in."""
LEVEL_S = 30.0
"""And is never more than comes in within so many seconds."""


@dataclass(frozen=True, slots=True)
class Trend:
    growth_per_s: float
    """Slope of the fitted line."""
    mean: float
    highest: float

    def is_flat(self, rate: float, growth_share: float = GROWTH_SHARE) -> bool:
        """`rate`: what comes in a second, in the unit of the samples."""
        return self.growth_per_s <= growth_share * rate and self.highest <= LEVEL_S * rate


def trend(seconds: Sequence[float], backlog: Sequence[float]) -> Trend:
    """Of samples in ascending time. Raises ValueError for fewer than three."""
    first = int(len(seconds) * SETTLED_SHARE)
    times, values = np.asarray(seconds[first:], float), np.asarray(backlog[first:], float)
    if len(times) < 3:
        raise ValueError(f"{len(seconds)} samples are too few for a trend")
    slope, _ = np.polyfit(times - times[0], values, 1)
    return Trend(float(slope), float(values.mean()), float(values.max()))
