"""Long gaps, spread by the meter's own hours of the day.

A step longer than the meter's size allows to interpolate evenly is divided in proportion to what the same meter took in
each local hour of the day, over the PROFILE_S before the gap. Its volume stays what the index says, so days sum to the
index difference as before. Where the meter has no such habit on record (a new one, or one that reads daily) it stays
evenly spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from .curve import EXCLUDED, HOUR_S, Curve, Flag, Ints, Limits, Readings, curve_of
from .volumes import between, day_number, midnights, segments_of

PROFILE_S = 14 * 86_400
MIN_PROFILE_H = 72
"""So many hours must be measured before a gap, and each hour of the day at least once."""
HOURS_A_DAY = 24
FINEST = 1_000
"""The strongest hour weighs so much; each weighs one at least, so that no hour is ruled out."""


class Gaps(NamedTuple):
    """Steps of a curve to be spread by a profile, in their order."""

    step: Ints
    meter: Ints
    """Position, as in the curve."""
    start_s: Ints


def long_gaps(curve: Curve, bridge_s: Ints) -> Gaps:
    """Steps with water that are longer than `bridge_s`, which has an entry per position of a meter."""
    length_s = np.diff(curve.ts_s)
    step = np.flatnonzero(length_s > bridge_s[curve.meter[1:]]) if len(length_s) else np.zeros(0, np.int64)
    step = step[(curve.segment[step + 1] == curve.segment[step]) & (curve.water_ml[step + 1] > curve.water_ml[step])]
    return Gaps(step, curve.meter[step], curve.ts_s[step])


def profiles(readings: Readings, limits: Limits, start_s: Ints, zone: ZoneInfo) -> Ints:
    """Weights of the local hours of the day, one row for each gap that starts at `start_s`; zeros: no habit on record.

    `readings` are those of the PROFILE_S up to and including each start, by position of the gap, as are the limits.
    """
    weights = np.zeros((len(start_s), HOURS_A_DAY), np.int64)
    if not len(start_s):
        return weights
    curve = curve_of(readings, limits)
    of, begin_s = _hours_before(start_s, zone)
    segment_of = np.zeros(len(start_s), np.int64)
    segments, first, _ = segments_of(curve)
    segment_of[curve.meter[first]] = segments
    found = between(curve, segment_of[of], begin_s, begin_s + HOUR_S)
    measured = found.complete & ~found.interpolated & ((found.flags & EXCLUDED) == 0)
    of, begin_s, volume = of[measured], begin_s[measured], found.consumption_ml[measured]
    hour = np.minimum((begin_s - midnights(zone)[1][day_number(zone, begin_s)]) // HOUR_S, HOURS_A_DAY - 1)
    total, count = np.zeros_like(weights), np.zeros_like(weights)
    np.add.at(total, (of, hour), volume)
    np.add.at(count, (of, hour), 1)
    mean = total // np.maximum(count, 1)
    known = (count.sum(axis=1) >= MIN_PROFILE_H) & (count > 0).all(axis=1) & (mean.max(axis=1) > 0)
    strongest = np.maximum(mean.max(axis=1, keepdims=True), 1)
    weights[known] = (1 + mean * FINEST // strongest)[known]
    return weights


def _hours_before(start_s: Ints, zone: ZoneInfo) -> tuple[Ints, Ints]:
    """The whole local clock hours of the PROFILE_S before each start: position of the gap, and begin."""
    shift = midnights(zone)[1][day_number(zone, start_s)] % HOUR_S
    hours = PROFILE_S // HOUR_S
    last = (start_s - shift) // HOUR_S * HOUR_S + shift
    begin = last[:, None] - HOUR_S * np.arange(hours - 1, 0, -1)[None, :]
    of = np.repeat(np.arange(len(start_s)), hours - 1)
    return of, begin.ravel()


def filled(curve: Curve, gaps: Gaps, weights: Ints, zone: ZoneInfo) -> Curve:
    """The curve with entries at the local hours inside the gaps; those without weights stay as they are."""
    at, ts_s, water, of = [], [], [], []
    flags = curve.flags.copy()
    flags[gaps.step] |= Flag.LONG_GAP
    for step, weight in zip(gaps.step.tolist(), weights.tolist(), strict=True):
        if not any(weight):
            continue
        flags[step] |= Flag.PROFILE
        bounds = _bounds(int(curve.ts_s[step]), int(curve.ts_s[step + 1]), zone)
        flowed = _shares(int(curve.water_ml[step + 1] - curve.water_ml[step]), bounds, weight, zone)
        at += [step + 1] * len(flowed)
        of += [step] * len(flowed)
        ts_s += bounds[1:-1]
        water += flowed
    put_in = np.array(of, np.int64)
    flowed_ml = np.array(water, np.int64)
    columns = {
        "meter": curve.meter[put_in], "segment": curve.segment[put_in], "ts_s": np.array(ts_s, np.int64),
        "index_ml": curve.index_ml[put_in] + flowed_ml, "water_ml": curve.water_ml[put_in] + flowed_ml,
        "flags": flags[put_in], "readings": curve.readings[put_in],
    }  # fmt: skip
    kept = curve._replace(flags=flags)
    return Curve(*(np.insert(getattr(kept, name), at, columns[name]) for name in Curve._fields))


def _bounds(start_s: int, end_s: int, zone: ZoneInfo) -> list[int]:
    """The gap's ends and the local clock hours inside it."""
    shift = int(midnights(zone)[1][day_number(zone, np.array([start_s]))][0]) % HOUR_S
    first = (start_s - shift) // HOUR_S * HOUR_S + shift + HOUR_S
    return [start_s, *range(first, end_s, HOUR_S), end_s]


def _shares(water_ml: int, bounds: Sequence[int], weight: Sequence[int], zone: ZoneInfo) -> list[int]:
    """What has flowed at each inner bound, floored to whole millilitres."""
    starts = np.array(bounds[:-1], np.int64)
    hours = np.minimum((starts - midnights(zone)[1][day_number(zone, starts)]) // HOUR_S, HOURS_A_DAY - 1).tolist()
    parts = [weight[hour] * (after - before) for hour, before, after in zip(hours, bounds, bounds[1:], strict=False)]
    total, running, flowed = sum(parts), 0, []
    for part in parts[:-1]:
        running += part
        flowed.append(water_ml * running // total)
    return flowed


def filled_alone(readings: Readings, limits: Limits, bridge_s: int, zone: ZoneInfo) -> Curve:
    """The curve of one meter with its gaps filled, when `readings` hold the PROFILE_S before each gap that matters."""
    curve = curve_of(readings, limits)
    gaps = long_gaps(curve, np.array([bridge_s], np.int64))
    if not len(gaps.step):
        return curve
    begin = np.searchsorted(readings.ts_s, gaps.start_s - PROFILE_S, "left")
    end = np.searchsorted(readings.ts_s, gaps.start_s, "right")
    rows = np.concatenate([np.arange(low, high) for low, high in zip(begin, end, strict=True)])
    before = Readings(np.repeat(np.arange(len(begin)), end - begin), readings.ts_s[rows], readings.index_ml[rows])
    many = Limits(*(np.repeat(column, len(begin)) for column in limits))
    return filled(curve, gaps, profiles(before, many, gaps.start_s, zone), zone)
