"""Volumes between any two instants of a curve, and by local days and clock hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from metering.model import Quality

from .curve import EXCLUDED, HOUR_S, Bools, Curve, Flag, Ints, keys_of

DAY_S = 24 * HOUR_S
QUALITIES = (Quality.MEASURED, Quality.INTERPOLATED, Quality.ESTIMATED, Quality.EDITED)


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
    estimated: Bools
    """A bound lies inside a gap that is spread by the meter's own hours of the day."""

    @property
    def excluded_ml(self) -> Ints:
        return self.end_index_ml - self.start_index_ml - self.consumption_ml

    @property
    def qualities(self) -> Ints:
        """Positions in `QUALITIES`: the weakest that applies.

        ESTIMATED where a step was excluded, too: what flowed then is unknown and counted as nothing.
        """
        edited = np.where(self.flags & Flag.EDITED, 3, 0)
        known = np.where(self.interpolated, 1, edited)
        return np.where(self.estimated | ((self.flags & EXCLUDED) != 0), 2, known).astype(np.int64)

    def quality(self, at: int) -> Quality:
        return QUALITIES[int(self.qualities[at])]


_NONE: Ints = np.zeros(0, np.int64)
_NEVER: Bools = np.zeros(0, np.bool_)
_NO_INTERVALS = Intervals(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NEVER, _NEVER, _NONE, _NEVER)


def segments_of(curve: Curve) -> tuple[Ints, Ints, Ints]:
    """Each segment, and the positions of its first and last entry."""
    first = np.flatnonzero(np.append(True, np.diff(curve.segment) != 0)) if len(curve.segment) else _NONE
    return curve.segment[first], first, np.append(first[1:], len(curve.segment)) - 1


def between(curve: Curve, segment: Ints, start_s: Ints, end_s: Ints) -> Intervals:
    """The intervals [start, end), each within one segment of a curve that is not empty."""
    keys = keys_of(curve.segment, curve.ts_s)
    first = np.searchsorted(keys, keys_of(segment, 0), "left")
    last = np.searchsorted(keys, keys_of(segment + 1, 0), "left") - 1
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
        _inside_profile(curve, start, low_s) | _inside_profile(curve, end, high_s),
    )  # fmt: skip


def _at(curve: Curve, keys: Ints, segment: Ints, at_s: Ints) -> tuple[Ints, Ints, Ints]:
    """Step that holds the instant, water and index there. The index moves with the water and jumps at readings."""
    step = np.searchsorted(keys, keys_of(segment, at_s), "right") - 1
    following = np.minimum(step + 1, len(keys) - 1)
    into_s = at_s - curve.ts_s[step]
    length_s = np.where(into_s > 0, curve.ts_s[following] - curve.ts_s[step], 1)
    whole, rest = np.divmod(np.where(into_s > 0, curve.water_ml[following] - curve.water_ml[step], 0), length_s)
    flowed = whole * into_s + rest * into_s // length_s  # in two parts, so that the product fits 64 bits
    return step, curve.water_ml[step] + flowed, curve.index_ml[step] + flowed


def _inside_gap(curve: Curve, step: Ints, at_s: Ints) -> Bools:
    inside: Bools = ((curve.flags[step] & Flag.GAP) != 0) & (at_s > curve.ts_s[step])
    return inside


def _inside_profile(curve: Curve, step: Ints, at_s: Ints) -> Bools:
    """Entries that `gaps.filled` put in stand for no reading: their running count is that of the one before."""
    if not (curve.flags & Flag.PROFILE).any():
        return np.zeros(len(step), np.bool_)
    put_in = (step > 0) & (curve.readings[step] == curve.readings[np.maximum(step - 1, 0)])
    inside: Bools = ((curve.flags[step] & Flag.PROFILE) != 0) & (put_in | (at_s > curve.ts_s[step]))
    return inside


def _readings_before(curve: Curve, keys: Ints, segment: Ints, first: Ints, at_s: Ints) -> Ints:
    """Readings of the segment before the instant; bridged ones count where the next valid one lies."""
    before = np.searchsorted(keys, keys_of(segment, at_s), "left")
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


def clock_hour(zone: ZoneInfo, ts_s: Ints) -> Ints:
    """The hour of the day, 0 to 23, that local clocks show at each instant."""
    number, begins = day_number(zone, ts_s), midnights(zone)[1]
    hour: Ints = (ts_s - begins[number]) // HOUR_S
    changing = begins[np.minimum(number + 1, len(begins) - 1)] - begins[number] != DAY_S
    if changing.any():  # hours are counted from midnight elsewhere: two days a year are left to be looked up
        odd_s, of = np.unique(ts_s[changing], return_inverse=True)
        shown = [datetime.fromtimestamp(at_s, zone).hour for at_s in odd_s.tolist()]
        hour[changing] = np.array(shown, np.int64)[of]
    return hour


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
