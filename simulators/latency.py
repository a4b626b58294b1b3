"""Percentiles of latencies.

Latency is counted from the instant a report was *meant* to be sent, so that a sender that stalls cannot hide the
waiting of those behind it (coordinated omission).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

POINTS = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
"""The percentiles of the project's tables."""


def summary_ms(seconds: npt.NDArray[np.float32]) -> dict[str, float | None]:
    """Each percentile in milliseconds: the smallest value that so many per cent do not exceed. None: there is none."""
    if not len(seconds):
        return dict.fromkeys(POINTS)
    values = np.percentile(seconds, list(POINTS.values()), method="inverted_cdf")
    return {name: round(float(value) * 1000, 3) for name, value in zip(POINTS, values, strict=True)}
