"""Which stretches of time are settled, and which readings that takes; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from metering.consumption import HOUR_S, MARGIN, REACH, Bools, Ints, Readings, day_number, midnights

DAY_S = 86_400
NEAR_S = 2 * DAY_S
"""Spans of a meter that lie no further apart are settled as one."""
AROUND_S = 25 * HOUR_S
"""Read so much beyond what changes: the 24 hours of the leak rule, and the rest of an hour."""
MISSING = 2
"""So many readings may be missing around a span without a second look."""
MAX_METER_DAYS = 25_000
"""Days of all meters that are computed at once; bounds memory when histories come in."""
_KEY_SHIFT = 35
_NONE: Ints = np.zeros(0, np.int64)


class Spans(NamedTuple):
    """Stretches of time of meters, both ends included; sorted, and those of one meter do not overlap."""

    meter_id: Ints
    from_s: Ints
    to_s: Ints

    def only(self, which: Bools | Ints) -> Spans:
        return Spans(*(column[which] for column in self))


def merged(spans: Spans) -> Spans:
    """Spans in any order, with those of a meter that overlap or are near made one."""
    meter_id, from_s, to_s = spans.only(np.lexsort((spans.from_s, spans.meter_id)))
    new = np.ones(len(meter_id), np.bool_)
    new[1:] = meter_id[1:] != meter_id[:-1]
    meter_key = np.cumsum(new) << _KEY_SHIFT
    reached_s = np.maximum.accumulate(meter_key + to_s) - meter_key
    new[1:] |= from_s[1:] > reached_s[:-1] + NEAR_S
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(meter_id)) - 1
    return Spans(meter_id[first], from_s[first], reached_s[last])


def joined(parts: Sequence[Spans]) -> Spans:
    """One after the other."""
    return Spans(*map(np.concatenate, zip(Spans(_NONE, _NONE, _NONE), *parts, strict=True)))


def sliced(stretches: Spans) -> Iterator[Ints]:
    """Positions of slices that hold at most about MAX_METER_DAYS days each."""
    days = np.cumsum(1 + (stretches.to_s - stretches.from_s) // DAY_S)
    slice_of = days // MAX_METER_DAYS
    yield from np.split(np.arange(len(days)), np.flatnonzero(np.diff(slice_of)) + 1) if len(days) else ()


def window(spans: Spans, zone: ZoneInfo, spacing_s: int) -> Spans:
    """What to read of each span, when readings are about so far apart: REACH readings, the day there, MARGIN more."""
    reach_s, margin_s = (REACH + MISSING) * spacing_s, (MARGIN + 1 + MISSING) * spacing_s
    begin_s, end_s = day_bounds(zone, spans.from_s - reach_s, spans.to_s + reach_s)
    return Spans(
        spans.meter_id,
        np.minimum(begin_s - margin_s, spans.from_s - reach_s - AROUND_S),
        np.maximum(end_s + margin_s, spans.to_s + reach_s + AROUND_S),
    )


class Reached(NamedTuple):
    """What a span changes, as far as the readings tell that were read; one entry per span."""

    changed: Spans
    early_enough: Bools
    """Earlier readings could not say otherwise."""
    late_enough: Bools
    """As `early_enough`."""
    has_later: Bools
    """There are readings after the span."""


def reached(spans: Spans, read: Spans, readings: Readings, zone: ZoneInfo) -> Reached:
    """`readings` of the stretches `read`, by position of the span."""
    keys = (readings.meter << _KEY_SHIFT) + readings.ts_s
    of = np.arange(len(spans.meter_id)) << _KEY_SHIFT
    first = np.searchsorted(keys, of, "left")
    end = np.append(first[1:], len(keys))
    before = np.searchsorted(keys, of + spans.from_s, "left")
    after = np.searchsorted(keys, of + spans.to_s, "right")
    from_s = _time_at(readings, np.maximum(before - REACH, first), before, spans.from_s)
    to_s = _time_at(readings, np.minimum(after + REACH, end) - 1, after - 1, spans.to_s)
    begin_s, end_s = day_bounds(zone, from_s, to_s)
    day_first = np.searchsorted(keys, of + begin_s, "left")
    day_end = np.searchsorted(keys, of + end_s, "right")
    return Reached(
        Spans(spans.meter_id, from_s, to_s),
        (before - first >= REACH) & (day_first - first > MARGIN) & (read.from_s <= from_s - AROUND_S),
        (end - after >= REACH) & (end - day_end > MARGIN) & (read.to_s >= to_s + AROUND_S),
        end > after,
    )


def _time_at(readings: Readings, at: Ints, nearest: Ints, otherwise: Ints) -> Ints:
    """Time of the reading at a position; `otherwise` where the span has none on that side."""
    if not len(readings.ts_s):
        return otherwise
    return np.where(at == nearest, otherwise, readings.ts_s[np.clip(at, 0, len(readings.ts_s) - 1)])


def day_bounds(zone: ZoneInfo, from_s: Ints, to_s: Ints) -> tuple[Ints, Ints]:
    """Where the local day of the one begins and that of the other ends."""
    starts = midnights(zone)[1]
    return starts[day_number(zone, from_s)], starts[np.minimum(day_number(zone, to_s) + 1, len(starts) - 1)]
