"""Hourly volumes of many meters from their indices, and when each hour became known. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metering.consumption import EXCLUDED, HOUR_S, Ints, Limits, between, segments_of, validated

from .level_shifts import Floats

PLAUSIBLE_Q4 = 3
"""A burst behind a meter passes more than its Q4 for hours. No bill is made of it, but it came through the main."""
NEVER = np.iinfo(np.int64).max


class KnownHours(NamedTuple):
    """Meters × hours."""

    volume_ml: Floats
    """NaN where no reading tells. Between readings that lie further apart the volume is spread evenly."""
    known_s: Ints
    """Time of the reading that made the hour known; NEVER."""


def known_hours(meter: Ints, ts_s: Ints, index_ml: Ints, limits: Limits, first_s: int, hours: int) -> KnownHours:
    """The `hours` clock hours from `first_s` on; `meter` is each reading's position in `limits`.

    Steps that are no water (negative, faster than PLAUSIBLE_Q4 × Q4) leave their hours unknown. Readings are taken to
    arrive at their own time: what is known later than its hour is known from the first reading after the hour on.
    """
    meters = len(limits.q4_ml_h)
    volume, known_s = np.full((meters, hours), np.nan), np.full((meters, hours), NEVER)
    curve = validated(ts_s, index_ml, limits._replace(q4_ml_h=PLAUSIBLE_Q4 * limits.q4_ml_h), meter)
    if not len(curve.ts_s):
        return KnownHours(volume, known_s)
    segments, first, last = segments_of(curve)
    begin = np.clip(-(-(curve.ts_s[first] - first_s) // HOUR_S), 0, hours)
    end = np.clip((curve.ts_s[last] - first_s) // HOUR_S, 0, hours)
    counts = np.maximum(end - begin, 0)
    segment = np.repeat(segments, counts)
    hour = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)
    start_s = first_s + hour * HOUR_S
    found = between(curve, segment, start_s, start_s + HOUR_S)
    of = np.repeat(curve.meter[first], counts)
    is_water = (found.flags & EXCLUDED) == 0
    volume[of[is_water], hour[is_water]] = found.consumption_ml[is_water]
    keys, shift = (curve.segment << 35) + curve.ts_s, segment << 35
    known_s[of[is_water], hour[is_water]] = curve.ts_s[np.searchsorted(keys, shift + start_s + HOUR_S)][is_water]
    return KnownHours(volume, known_s)
