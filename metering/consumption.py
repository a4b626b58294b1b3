"""From readings to consumption: a validated curve per meter, and its volume between any two instants.

Pure and vectorised; one call may hold many meters. A step between neighbouring readings counts as water unless it is
negative, faster than the overload flow rate Q4, or spans a silence longer than `MAX_SPREAD_S`: such steps are flagged
and never summed. A single reading that sticks out is bridged over; a register that rolled over is recognised; after a
lasting jump the curve goes on from the new index. Between readings the index is interpolated linearly and floored to
whole millilitres, so that neighbouring intervals telescope exactly::

    end_index_ml - start_index_ml == consumption_ml + excluded_ml

What a reading says of its neighbourhood depends on at most `MARGIN` readings on either side: whoever loads that many
more than asked for gets the very curve that all readings would give.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import IntFlag
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from metering.model import Quality

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MARGIN = 6
REACH = 4
"""A new reading changes no step further than this many readings away."""

HOUR_S = 3_600
MAX_SPREAD_S = 400 * 86_400
"""A longer silence ends one curve and begins another: the volume in between belongs to no day."""

MAX_GAP_S = 5_400
"""Readings are hourly at most; with a longer spacing what lies between is interpolated, and says so."""

Q4_PER_Q3_MILLI = 1_250
"""OIML R 49: overload flow rate Q4 = 1.25 × Q3; times 1000 ml per litre."""


class Flag(IntFlag):
    """What is remarkable about a step between neighbouring readings."""

    GAP = 1
    NEGATIVE_STEP = 2
    IMPOSSIBLE_FLOW = 4
    ROLL_OVER = 8
    SPIKE = 16


EXCLUDED = Flag.NEGATIVE_STEP | Flag.IMPOSSIBLE_FLOW


def reasons(flags: int) -> list[str]:
    """Lower-case names of the flags, as stored."""
    return [flag.name.lower() for flag in Flag if flags & flag and flag.name]


class Limits(NamedTuple):
    """What meters can do, one entry per meter."""

    q4_ml_h: Ints
    register_max_ml: Ints
    """The register shows 0 again after this."""
    resolution_ml: Ints
    """One count of the register: a step may be this much more than the water was."""

    @classmethod
    def of(cls, q3_l_h: int = 2_500, register_max_ml: int = 10**14, pulse_ml: int = 1_000) -> Limits:
        """Limits of a single meter, from its row in the database."""
        values = (q3_l_h * Q4_PER_Q3_MILLI, register_max_ml, pulse_ml)
        return cls(*(np.array([value], np.int64) for value in values))


class Readings(NamedTuple):
    """Sorted by meter and time, at most one for each instant."""

    meter: Ints
    """Position of the meter in `Limits`."""
    ts_s: Ints
    index_ml: Ints


class Curve(NamedTuple):
    """Validated readings, sorted by meter and time. Steps lead from entry i to i + 1."""

    meter: Ints
    """Position of the meter in `Limits`."""
    segment: Ints
    """Numbers the stretches without a silence longer than MAX_SPREAD_S; grows along the curve."""
    ts_s: Ints
    index_ml: Ints
    water_ml: Ints
    """Volume that flowed up to the reading, summed over the whole curve; never falls."""
    flags: Ints
    """Of the step to the next entry; 0 where a segment ends."""
    readings: Ints
    """How many readings of its source an entry stands for up to and including itself, running (bridged ones count)."""


class Intervals(NamedTuple):
    """Volumes of intervals, one entry each."""

    start_s: Ints
    end_s: Ints
    """As asked for; the indices are those at the nearest instants that readings reach."""
    start_index_ml: Ints
    end_index_ml: Ints
    consumption_ml: Ints
    flags: Ints
    interpolated: Bools
    """A bound lies inside a step longer than MAX_GAP_S."""
    complete: Bools
    """Readings reach both bounds."""
    readings: Ints

    @property
    def excluded_ml(self) -> Ints:
        return self.end_index_ml - self.start_index_ml - self.consumption_ml

    def quality(self, at: int) -> Quality:
        """ESTIMATED where a step was excluded: what flowed then is unknown and counted as nothing."""
        if self.flags[at] & EXCLUDED:
            return Quality.ESTIMATED
        return Quality.INTERPOLATED if self.interpolated[at] else Quality.MEASURED


_NONE: Ints = np.zeros(0, np.int64)
_NEVER: Bools = np.zeros(0, np.bool_)
_NO_INTERVALS = Intervals(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NEVER, _NEVER, _NONE)


def ordered(ts_s: Ints, index_ml: Ints, meter: Ints | None = None) -> Readings:
    """Readings in any order, put into the curve's; of several at one instant the lowest index counts."""
    meter = np.zeros(len(ts_s), np.int64) if meter is None else meter
    keys = _keys(meter, ts_s)
    if len(keys) and not (keys[1:] > keys[:-1]).all():
        order = np.argsort(keys)
        keys = keys[order]
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        if not first.all():
            order = np.lexsort((index_ml, ts_s, meter))[first]
        meter, ts_s, index_ml = meter[order], ts_s[order], index_ml[order]
    return Readings(meter, ts_s, index_ml)


def validated(ts_s: Ints, index_ml: Ints, limits: Limits, meter: Ints | None = None) -> Curve:
    """The curve of readings in any order.

    Times in Unix seconds below 2^35, indices 0 … 10^16 ml; `meter` gives each reading's position in `limits`.
    """
    return curve_of(ordered(ts_s, index_ml, meter), limits)


def curve_of(readings: Readings, limits: Limits) -> Curve:
    """The curve of readings in its order."""
    meter, ts_s, index_ml = readings
    breaks = np.zeros(len(ts_s), np.bool_)
    breaks[1:] = (meter[1:] != meter[:-1]) | (np.diff(ts_s) > MAX_SPREAD_S)
    segment = np.cumsum(breaks, dtype=np.int64)
    counted = np.arange(1, len(ts_s) + 1, dtype=np.int64)
    water, flags = _steps(meter, ts_s, index_ml, limits)
    spikes = _spikes(readings, segment, flags, limits)
    if len(spikes):
        kept = np.ones(len(ts_s), np.bool_)
        kept[spikes] = False
        meter, segment, counted = meter[kept], segment[kept], counted[kept]
        ts_s, index_ml = ts_s[kept], index_ml[kept]
        water, flags = _steps(meter, ts_s, index_ml, limits)
        flags[np.diff(counted) > 1] |= Flag.SPIKE
    flags[np.diff(ts_s) > MAX_GAP_S] |= Flag.GAP
    ends = segment[1:] != segment[:-1]
    water[ends] = 0
    flags[ends] = 0
    running = np.zeros(len(ts_s), np.int64)
    np.cumsum(water, out=running[1:])
    return Curve(meter, segment, ts_s, index_ml, running, np.append(flags, 0), counted)


def _steps(meter: Ints, ts_s: Ints, index_ml: Ints, limits: Limits) -> tuple[Ints, Ints]:
    """Water and flags of the steps between neighbouring entries."""
    water, flags = np.diff(index_ml), np.zeros(max(len(ts_s) - 1, 0), np.int64)
    most = limits.q4_ml_h[meter[1:]] * np.diff(ts_s) // HOUR_S + limits.resolution_ml[meter[1:]]
    at = np.flatnonzero((water < 0) | (water > most))
    water[at], flags[at] = _judged(water[at], most[at], limits.register_max_ml[meter[1:][at]])
    return water, flags


def _judged(step: Ints, most: Ints, register_max_ml: Ints) -> tuple[Ints, Ints]:
    """Water and flags of steps of which at most `most` can be water."""
    rolled = step + register_max_ml
    roll_over = (step < 0) & (rolled >= 0) & (rolled <= most)
    flags = np.zeros(len(step), np.int64)
    flags[(step < 0) & ~roll_over] = Flag.NEGATIVE_STEP
    flags[step > most] = Flag.IMPOSSIBLE_FLOW
    flags[roll_over] = Flag.ROLL_OVER
    return np.where(roll_over, rolled, np.where(flags & EXCLUDED, 0, step)), flags


def _spikes(readings: Readings, segment: Ints, flags: Ints, limits: Limits) -> Ints:
    """Positions of readings that a negative step touches and without which there would be none: the first of
    neighbouring ones. `flags`: of the steps between readings."""
    negative = np.flatnonzero((segment[1:] == segment[:-1]) & ((flags & Flag.NEGATIVE_STEP) != 0))
    at = np.unique(np.concatenate((negative, negative + 1)))
    at = at[(at > 0) & (at < len(segment) - 1)]
    at = at[segment[at - 1] == segment[at + 1]]
    of, before, after = readings.meter[at], at - 1, at + 1
    most = limits.q4_ml_h[of] * (readings.ts_s[after] - readings.ts_s[before]) // HOUR_S + limits.resolution_ml[of]
    _, without = _judged(readings.index_ml[after] - readings.index_ml[before], most, limits.register_max_ml[of])
    at = at[(without & EXCLUDED) == 0]
    alone = np.ones(len(at), np.bool_)
    alone[1:] = np.diff(at) > 1
    found: Ints = at[alone]
    return found


def segments_of(curve: Curve) -> tuple[Ints, Ints, Ints]:
    """Each segment, and the positions of its first and last entry."""
    first = np.flatnonzero(np.append(True, np.diff(curve.segment) != 0)) if len(curve.segment) else _NONE
    return curve.segment[first], first, np.append(first[1:], len(curve.segment)) - 1


def between(curve: Curve, segment: Ints, start_s: Ints, end_s: Ints) -> Intervals:
    """The intervals [start, end), each within one segment of a curve that is not empty."""
    keys = _keys(curve.segment, curve.ts_s)
    first = np.searchsorted(keys, _keys(segment, 0), "left")
    last = np.searchsorted(keys, _keys(segment + 1, 0), "left") - 1
    low_s = np.clip(start_s, curve.ts_s[first], curve.ts_s[last])
    high_s = np.clip(end_s, curve.ts_s[first], curve.ts_s[last])
    start, start_water, start_index = _at(curve, keys, segment, low_s)
    end, end_water, end_index = _at(curve, keys, segment, high_s)
    upto = np.where((curve.ts_s[end] < high_s) | (end == start), end, end - 1)
    counted = _readings_before(curve, keys, segment, first, end_s)
    counted -= _readings_before(curve, keys, segment, first, start_s)
    return Intervals(
        start_s, end_s, start_index, end_index, end_water - start_water,
        np.where(high_s > low_s, _or_over(curve.flags, start, upto), 0),
        _inside_gap(curve, start, low_s) | _inside_gap(curve, end, high_s),
        (start_s >= low_s) & (end_s <= high_s), counted,
    )  # fmt: skip


_KEY_SHIFT = 35


def _keys(of: Ints, ts_s: Ints | int) -> Ints:
    """Meter or segment and instant in one number, which sorts as the pair does."""
    return (of << _KEY_SHIFT) + ts_s


def _at(curve: Curve, keys: Ints, segment: Ints, at_s: Ints) -> tuple[Ints, Ints, Ints]:
    """Step that holds the instant, water and index there. The index moves with the water and jumps at readings."""
    step = np.searchsorted(keys, _keys(segment, at_s), "right") - 1
    following = np.minimum(step + 1, len(keys) - 1)
    into_s = at_s - curve.ts_s[step]
    length_s = np.where(into_s > 0, curve.ts_s[following] - curve.ts_s[step], 1)
    whole, rest = np.divmod(np.where(into_s > 0, curve.water_ml[following] - curve.water_ml[step], 0), length_s)
    flowed = whole * into_s + rest * into_s // length_s  # in two parts, so that the product fits 64 bits
    return step, curve.water_ml[step] + flowed, curve.index_ml[step] + flowed


def _inside_gap(curve: Curve, step: Ints, at_s: Ints) -> Bools:
    inside: Bools = ((curve.flags[step] & Flag.GAP) != 0) & (at_s > curve.ts_s[step])
    return inside


def _readings_before(curve: Curve, keys: Ints, segment: Ints, first: Ints, at_s: Ints) -> Ints:
    """Readings of the segment before the instant; bridged ones count where the next valid one lies."""
    before = np.searchsorted(keys, _keys(segment, at_s), "left")
    earlier = np.where(first > 0, curve.readings[first - 1], 0)
    return np.where(before > first, curve.readings[before - 1] - earlier, 0)


def _or_over(flags: Ints, start: Ints, upto: Ints) -> Ints:
    """Flags of the steps start … upto of each interval, together."""
    bounds = np.empty(2 * len(start), np.int64)
    bounds[0::2], bounds[1::2] = start, upto + 1
    return np.bitwise_or.reduceat(np.append(flags, 0), bounds)[0::2] if len(start) else flags[:0]


@lru_cache(maxsize=8)
def midnights(zone: ZoneInfo) -> tuple[int, Ints]:
    """Ordinal of the first day, and the Unix seconds at which each local day from 2000 to 2100 begins."""
    first = date(2000, 1, 1).toordinal()
    days = range(first, date(2100, 1, 1).toordinal())
    starts = (datetime.combine(date.fromordinal(day), datetime.min.time(), zone) for day in days)
    return first, np.fromiter((int(start.timestamp()) for start in starts), np.int64, len(days))


def day_number(zone: ZoneInfo, ts_s: Ints) -> Ints:
    """Position in `midnights` of the local day that holds each instant."""
    return np.searchsorted(midnights(zone)[1], ts_s, "right").astype(np.int64) - 1


def day_of(zone: ZoneInfo, number: int) -> date:
    return date.fromordinal(midnights(zone)[0] + number)


def days(
    curve: Curve, zone: ZoneInfo, from_s: Ints | None = None, to_s: Ints | None = None
) -> tuple[Ints, Ints, Intervals]:
    """Every local day that a segment reaches (or only those that hold instants from `from_s` to `to_s`, per segment).

    Returns the segment and the day number (see `day_of`) of each, and their volumes, in order of time per segment.
    Days of 23 and 25 hours come out right; a silence of days gives interpolated days.
    """
    if not len(curve.ts_s):
        return _NONE, _NONE, _NO_INTERVALS
    segments, first, last = segments_of(curve)
    low = curve.ts_s[first] if from_s is None else np.maximum(from_s, curve.ts_s[first])
    high = curve.ts_s[last] if to_s is None else np.minimum(to_s, curve.ts_s[last])
    first_day, last_day = day_number(zone, low), day_number(zone, high)
    counts = np.where(high >= low, last_day - first_day + 1, 0)
    segment = np.repeat(segments, counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first_day, counts)
    starts = midnights(zone)[1]
    return segment, number, between(curve, segment, starts[number], starts[number + 1])


def hours(curve: Curve, zone: ZoneInfo, from_s: int, to_s: int) -> Intervals:
    """The local clock hours of one meter that begin in [from_s, to_s) and that its readings reach."""
    offset = datetime.fromtimestamp(from_s, UTC).astimezone(zone).utcoffset() or timedelta()
    shift = int(offset.total_seconds()) % HOUR_S
    begin = -(-(from_s + shift) // HOUR_S) * HOUR_S - shift
    starts = np.arange(begin, max(to_s, begin), HOUR_S, dtype=np.int64)
    if not len(curve.ts_s):
        return _NO_INTERVALS
    segments, first, last = segments_of(curve)
    at = np.searchsorted(curve.ts_s[first], starts + HOUR_S, "left") - 1
    reached = (at >= 0) & (starts < curve.ts_s[last][at])
    return between(curve, segments[at[reached]], starts[reached], starts[reached] + HOUR_S)
