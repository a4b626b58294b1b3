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

from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


_NONE: Ints = np.zeros(0, np.int64)


class Flag(IntFlag):
    """What is remarkable about a step between neighbouring readings."""

    GAP = 1
    NEGATIVE_STEP = 2
    IMPOSSIBLE_FLOW = 4
    ROLL_OVER = 8
    SPIKE = 16
    RESET = 32
    """A negative step after which the register shows no more than could have flowed since it stood at 0."""
    PROFILE = 64
    """Part of a gap that is spread by the meter's own hours of the day, not evenly."""
    LONG_GAP = 256
    """A step with water that is longer than the meter's size allows to interpolate evenly."""
    EDITED = 128
    """Beside a reading that a person gave or took away."""
    SUM_MISMATCH = 512
    """Beside an instant at which what the meter froze and its other reading differ by more than one count."""


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
    """Sorted by meter and time, at most one for each instant, amendments included."""

    meter: Ints
    """Position of the meter in `Limits`."""
    ts_s: Ints
    index_ml: Ints
    edited: Ints = _NONE
    """`keys_of` the instants (of its meters' positions) at which a person gave or took away a reading; sorted."""
    disputed: Ints = _NONE
    """`keys_of` the instants of which there are several readings that differ; sorted."""
    spread_ml: Ints = _NONE
    """By how much the readings of each disputed instant differ."""


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


def ordered(ts_s: Ints, index_ml: Ints, meter: Ints | None = None) -> Readings:
    """Readings in any order, put into the curve's; of several at one instant the lowest index counts."""
    meter = np.zeros(len(ts_s), np.int64) if meter is None else meter
    keys = keys_of(meter, ts_s)
    if len(keys) and not (keys[1:] > keys[:-1]).all():
        order = np.argsort(keys, kind="stable")  # readings come in runs, which this sort merges: 3 to 20 times as fast
        keys = keys[order]
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        if not first.all():
            return _lowest(keys, np.flatnonzero(first), np.lexsort((index_ml, ts_s, meter)), index_ml)
        meter, ts_s, index_ml = meter[order], ts_s[order], index_ml[order]
    return Readings(meter, ts_s, index_ml)


def _lowest(keys: Ints, first: Ints, order: Ints, index_ml: Ints) -> Readings:
    """The lowest reading of each instant; `first`: where each begins among the sorted `keys`."""
    last = np.append(first[1:], len(keys)) - 1
    lowest_ml = index_ml[order[first]]
    spread_ml = index_ml[order[last]] - lowest_ml
    instants = keys[first]
    differ = spread_ml > 0
    return Readings(instants >> _KEY_SHIFT, instants & _TS_MASK, lowest_ml, _NONE, instants[differ], spread_ml[differ])


def validated(ts_s: Ints, index_ml: Ints, limits: Limits, meter: Ints | None = None) -> Curve:
    """The curve of readings in any order.

    Times in Unix seconds below 2^35, indices 0 … 10^16 ml; `meter` gives each reading's position in `limits`.
    """
    return curve_of(ordered(ts_s, index_ml, meter), limits)


def curve_of(readings: Readings, limits: Limits) -> Curve:
    """The curve of readings in its order."""
    meter, ts_s, index_ml, edited, disputed, spread_ml = readings
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
    if len(edited):
        _mark(keys_of(meter, ts_s), flags, edited, Flag.EDITED)
    if len(disputed):
        apart = spread_ml > limits.resolution_ml[disputed >> _KEY_SHIFT]
        _mark(keys_of(meter, ts_s), flags, disputed[apart], Flag.SUM_MISMATCH)
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
    flags[at] |= np.where(((flags[at] & Flag.NEGATIVE_STEP) != 0) & (index_ml[1:][at] <= most[at]), Flag.RESET, 0)
    return water, flags


def _mark(keys: Ints, flags: Ints, instants: Ints, flag: Flag) -> None:
    """Flags the steps that begin, end or lie at these instants."""
    step = np.searchsorted(keys, instants, "right") - 1
    begins = step[(step >= 0) & (step < len(flags))]
    flags[begins] |= flag
    ends = np.searchsorted(keys, instants, "left") - 1
    ends = ends[(ends >= 0) & (ends < len(flags))]
    flags[ends] |= flag


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
    if len(readings.edited):  # a person's word is no spike
        at = at[~np.isin(keys_of(readings.meter[at], readings.ts_s[at]), readings.edited)]
    of, before, after = readings.meter[at], at - 1, at + 1
    most = limits.q4_ml_h[of] * (readings.ts_s[after] - readings.ts_s[before]) // HOUR_S + limits.resolution_ml[of]
    _, without = _judged(readings.index_ml[after] - readings.index_ml[before], most, limits.register_max_ml[of])
    at = at[(without & EXCLUDED) == 0]
    alone = np.ones(len(at), np.bool_)
    alone[1:] = np.diff(at) > 1
    found: Ints = at[alone]
    return found


_KEY_SHIFT = 35
_TS_MASK = (1 << _KEY_SHIFT) - 1


def keys_of(of: Ints, ts_s: Ints | int) -> Ints:
    """Meter or segment and instant in one number, which sorts as the pair does."""
    return (of << _KEY_SHIFT) + ts_s
