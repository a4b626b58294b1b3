"""How much each hour of the day tells of a flow that is the same at all hours, as a leak's is. Pure.

A leak adds the same to every hour; what people draw differs, most by day, and hours beside one another err together.
The best linear unbiased estimate of a constant weighs the hours by the row sums of the inverse covariance of their
deviations (generalised least squares: Aitken, Proc. R. Soc. Edinburgh 55, 1935). Hours that would count against the
others are left out, so that any window of hours has a mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metering.consumption import Bools

Floats = NDArray[np.float64]

LEAST_DAYS = 14
CLIP = 3.0
"""A wild hour counts for no more than so many of its own spreads."""
SHRINK, SHRINK_PER_DAY = 0.1, 12.0
"""Added to the variances, as shares of them, the second over the number of days: of few days no pattern is believed."""


def hour_weights(past: Floats, spread: Floats, floor: Floats) -> Floats:
    """Weights of the hours of the day, at least 0, in one over the flow squared, as 1 / variance would be; NaN for a
    district of which fewer than LEAST_DAYS whole days are known.

    `past`: districts × days × hours, deviations from the habits, NaN where not known; `spread`: robust, districts ×
    hours; `floor`: the least spread believed, of each district.
    """
    whole = np.isfinite(past).all(axis=2)
    days = np.maximum(whole.sum(axis=1), 1)
    believed = np.maximum(spread, floor[:, None])
    usable = (whole.sum(axis=1) >= LEAST_DAYS) & np.isfinite(believed).all(axis=1) & (believed > 0).all(axis=1)
    scale: Floats = np.where(usable[:, None], believed, 1.0)
    unit = np.where((whole & usable[:, None])[:, :, None], np.clip(past / scale[:, None, :], -CLIP, CLIP), 0.0)
    covariance: Floats = unit.transpose(0, 2, 1) @ unit / days[:, None, None] * scale[:, :, None] * scale[:, None, :]
    hours = np.arange(scale.shape[1])
    covariance[:, hours, hours] *= 1 + SHRINK + SHRINK_PER_DAY / days[:, None]
    covariance[:, hours, hours] += np.where(usable, floor, 1.0)[:, None] ** 2
    weights = _positive(covariance)
    weights[~usable] = np.nan
    return weights


def _positive(covariance: Floats) -> Floats:
    """Row sums of the inverse, over those hours for which all are positive."""
    districts, hours, _ = covariance.shape
    used: Bools = np.ones((districts, hours), bool)
    for _ in range(hours):
        both = used[:, :, None] & used[:, None, :]
        of_used = np.where(both, covariance, np.eye(hours))
        weights = np.linalg.solve(of_used, used.astype(np.float64)[:, :, None])[:, :, 0].astype(np.float64)
        against = used & (weights < 0)
        if not against.any():
            break
        used &= ~against
    positive: Floats = np.where(used, weights, 0.0)
    return positive
