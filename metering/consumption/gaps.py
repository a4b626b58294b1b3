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
from .volumes import between, clock_hour, day_number, midnights, segments_of

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
    cell = of * HOURS_A_DAY + clock_hour(zone, begin_s)
    count = np.bincount(cell, minlength=weights.size).reshape(weights.shape)
    total = _sums(cell, volume, weights.size).reshape(weights.shape)
    mean = total // np.maximum(count, 1)
    known = (count.sum(axis=1) >= MIN_PROFILE_H) & (count > 0).all(axis=1) & (mean.max(axis=1) > 0)
    strongest = np.maximum(mean.max(axis=1, keepdims=True), 1)
    weights[known] = (1 + mean * FINEST // strongest)[known]
    return weights


def _sums(cell: Ints, volume: Ints, cells: int) -> Ints:
    """Exact, where floating-point weights of a bincount would round."""
    order = np.argsort(cell, kind="stable")
    running = np.append(0, np.cumsum(volume[order]))
    bounds = np.searchsorted(cell[order], np.arange(cells + 1))
    sums: Ints = np.diff(running[bounds])
    return sums


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
    flags = curve.flags.copy()
    flags[gaps.step] |= Flag.LONG_GAP
    known = np.flatnonzero(weights.any(axis=1))
    step = gaps.step[known]
    flags[step] |= Flag.PROFILE
    if not len(step):
        return curve._replace(flags=flags)
    gap, ts_s, flowed_ml = _inner_hours(curve, step, weights[known], zone)
    of = step[gap]
    put_in = Curve(
        curve.meter[of], curve.segment[of], ts_s, curve.index_ml[of] + flowed_ml, curve.water_ml[of] + flowed_ml,
        flags[of], curve.readings[of],
    )  # fmt: skip
    ends = np.searchsorted(gap, np.arange(len(step) + 1)).tolist()
    bounds = [0, *(step + 1).tolist()]
    return Curve(
        *(
            _interleaved(column, bounds, new, ends)
            for column, new in zip(curve._replace(flags=flags), put_in, strict=True)
        )
    )


def _interleaved(column: Ints, bounds: Sequence[int], new: Ints, ends: Sequence[int]) -> Ints:
    """Stretches of a column, after each of which entries are put in: slices, since nearly all of it stays as it is."""
    parts = [column[: bounds[1]]]
    for at in range(1, len(bounds)):
        parts.append(new[ends[at - 1] : ends[at]])
        parts.append(column[bounds[at] : bounds[at + 1] if at + 1 < len(bounds) else None])
    return np.concatenate(parts)


def _inner_hours(curve: Curve, step: Ints, weights: Ints, zone: ZoneInfo) -> tuple[Ints, Ints, Ints]:
    """Of all local clock hours inside the gaps: position of the gap, time, and what has flowed since the gap's begin,
    floored to whole millilitres."""
    start_s, end_s = curve.ts_s[step], curve.ts_s[step + 1]
    shift = midnights(zone)[1][day_number(zone, start_s)] % HOUR_S
    first_s = (start_s - shift) // HOUR_S * HOUR_S + shift + HOUR_S
    inner = np.maximum(-(-(end_s - first_s) // HOUR_S), 0)
    gap = np.repeat(np.arange(len(step)), inner + 1)  # a gap of n inner hours has n + 1 parts
    number = np.arange(len(gap)) - np.repeat(np.cumsum(inner + 1) - inner - 1, inner + 1)
    part_s = np.where(number == 0, start_s[gap], first_s[gap] + (number - 1) * HOUR_S)
    until_s = np.where(number == inner[gap], end_s[gap], first_s[gap] + number * HOUR_S)
    running = np.cumsum(weights[gap, clock_hour(zone, part_s)] * (until_s - part_s))
    last = np.cumsum(inner + 1) - 1
    before = np.append(0, running[last[:-1]])
    total, water_ml = running[last] - before, curve.water_ml[step + 1] - curve.water_ml[step]
    at = np.flatnonzero(number < inner[gap])
    gap = gap[at]
    share = (running[at] - before[gap]).astype(object)  # the product of volume and share may need more than 64 bits
    flowed_ml = share * water_ml[gap] // total[gap]
    return gap, until_s[at], flowed_ml.astype(np.int64)


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
