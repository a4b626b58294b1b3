"""The makers' leak rules, pure: flow in every one of the last 24 hours.

It is what meter makers build in (Sensus iPERL, ZENNER, Hydrus, EyeOnWater: any flow in each of 24 hours; Badger BEACON:
a gallon; Kamstrup: 0.5 % of Q3). The rules differ in the flow from which on an hour counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metering.consumption import EXCLUDED, HOUR_S, Bools, Curve, Ints, between, segments_of
from metering.leak_settings import VendorRule

WINDOW_H = 24
MIN_MEASURED_H = 22
"""Of the 24 hours so many must be measured: a lost reading neither raises nor cancels."""

THRESHOLD_ML_H: tuple[tuple[int, int], ...] = (
    (15, 1_000), (20, 1_600), (25, 2_500), (32, 4_000), (40, 6_400), (50, 10_000), (65, 16_000), (80, 25_000),
    (100, 40_000), (150, 100_000), (200, 160_000), (300, 400_000),
)  # fmt: skip
"""Least hourly flow that counts, from a nominal diameter (mm) on: 0.04 % of that size's usual Q3.

For DN15 that is one litre, one count of a household register: any flow at all. Behind a larger meter live more
people, whose small flows never rest; in proportion to Q3 an alert means the same everywhere.
"""

GALLON_ML_H = 3_800
"""One US gallon an hour (3.785 L), rounded up as the makers' papers have it."""

Q3_PARTS = 200
"""0.5 % of Q3: 12.5 L/h at Q3 = 2.5 m³/h."""

URGENT_Q3_SHARE = 0.05
"""From this share of Q3 on (125 L/h at DN15) a continuous flow is critical: a burst pipe, no dripping tap."""

UNKNOWN, NO_FLOW, FLOW = -1, 0, 1


def threshold_ml_h(rule: VendorRule, dn_mm: Ints, q3_l_h: Ints, pulse_ml: Ints) -> Ints:
    """Least hourly flow that counts by the rule for each meter; never less than one count of its register."""
    if rule is VendorRule.FLOW_3_8:
        least = np.full(len(dn_mm), GALLON_ML_H, np.int64)
    elif rule is VendorRule.Q3_0_5:
        least = q3_l_h * (1_000 // Q3_PARTS)
    else:
        diameters, thresholds = np.array(THRESHOLD_ML_H, np.int64).T
        least = thresholds[np.maximum(np.searchsorted(diameters, dn_mm, "right") - 1, 0)]
    threshold: Ints = np.maximum(least, pulse_ml)
    return threshold


class Hours(NamedTuple):
    """Hours of several meters, in order of meter and time, aligned to each meter's own hourly readings."""

    meter: Ints
    segment: Ints
    end_s: Ints
    flow_ml: Ints
    state: Ints
    """UNKNOWN, NO_FLOW or FLOW."""


_NO_HOURS = Hours(*[np.zeros(0, np.int64)] * 5)


class ContinuousFlow(NamedTuple):
    """A run of hours without a rest, seen last at `seen_at_s`."""

    meter: int
    started_at_s: int
    """Begin of the run, or of the readings that were looked at."""
    raised_at_s: int
    """When the rule held first: the time of the last reading it needed."""
    seen_at_s: int
    rate_ml_h: int
    """Least hourly flow of the last 24 hours: what flows when nobody uses water."""
    hourly_ml: list[int | None]
    """The 24 hours up to `seen_at_s`; None where no reading tells."""
    ended_at_s: int | None
    """End of the first hour without flow after `seen_at_s`; None while it lasts."""


def hours(curve: Curve, threshold_ml: Ints) -> Hours:
    """The whole hours of each segment of the curve; `threshold_ml` per meter.

    Where readings are missing an hour is UNKNOWN, unless the register stood still over it.
    """
    segments, first, last = segments_of(curve)
    if not len(segments):
        return _NO_HOURS
    odd = (np.diff(curve.ts_s) != HOUR_S) & (curve.segment[1:] == curve.segment[:-1])
    regular = np.add.reduceat(np.append(odd, False), first) == 0
    plain = _from_steps(curve, np.repeat(regular, last - first), threshold_ml)
    if regular.all():
        return plain
    both = (plain, _from_intervals(curve, segments[~regular], first[~regular], last[~regular], threshold_ml))
    order = np.argsort(np.concatenate([of.segment for of in both]), kind="stable")
    return Hours(*(np.concatenate(columns)[order] for columns in zip(*both, strict=True)))


def _from_steps(curve: Curve, regular: Bools, threshold_ml: Ints) -> Hours:
    """Where readings are an hour apart each step is an hour. `regular`: such steps, of all that are in segments."""
    ends = np.flatnonzero(curve.segment[1:] == curve.segment[:-1])[regular] + 1
    flow = curve.water_ml[ends] - curve.water_ml[ends - 1]
    state = np.where(flow >= threshold_ml[curve.meter[ends]], FLOW, NO_FLOW)
    state[(curve.flags[ends - 1] & EXCLUDED) != 0] = UNKNOWN
    return Hours(curve.meter[ends], curve.segment[ends], curve.ts_s[ends], flow, state)


def _from_intervals(curve: Curve, segments: Ints, first: Ints, last: Ints, threshold_ml: Ints) -> Hours:
    phase = curve.ts_s[last] % HOUR_S
    hourly = np.flatnonzero((np.diff(curve.ts_s) == HOUR_S) & (curve.segment[1:] == curve.segment[:-1]))
    hourly = hourly[np.isin(curve.segment[hourly], segments)]
    of, at = np.unique(np.searchsorted(segments, curve.segment[hourly]), return_index=True)
    phase[of] = curve.ts_s[hourly[at]] % HOUR_S
    end = curve.ts_s[last] - (curve.ts_s[last] - phase) % HOUR_S
    counts = np.maximum((end - curve.ts_s[first]) // HOUR_S, 0)
    segment, end_s = np.repeat(segments, counts), np.repeat(end - counts * HOUR_S, counts)
    end_s += HOUR_S * (np.arange(len(end_s)) - np.repeat(np.cumsum(counts) - counts, counts) + 1)
    meter = np.repeat(curve.meter[first], counts)
    found = between(curve, segment, end_s - HOUR_S, end_s)
    flow = found.consumption_ml
    state = np.where(flow >= threshold_ml[meter], FLOW, NO_FLOW)
    state[found.interpolated & (flow > 0)] = UNKNOWN
    state[(found.flags & EXCLUDED) != 0] = UNKNOWN
    return Hours(meter, segment, end_s, flow, state)


def continuous_flow(of: Hours) -> list[ContinuousFlow]:
    """The latest continuous flow of each segment in which there is one."""
    if len(of.end_s) < WINDOW_H:
        return []
    begin, holds = _runs(of)
    at = np.flatnonzero(holds)
    if not len(at):
        return []
    last_of_segment = np.append(np.flatnonzero(np.diff(of.segment[at])), len(at) - 1)
    return [_described(of, int(begin[last]), int(last), holds) for last in at[last_of_segment]]


def _runs(of: Hours) -> tuple[Ints, Bools]:
    """For each hour: where its run without NO_FLOW begins, and whether the rule holds at its end."""
    position = np.arange(len(of.end_s))
    new = np.ones(len(position), np.bool_)
    new[1:] = of.segment[1:] != of.segment[:-1]
    begin = np.maximum.accumulate(np.where(of.state == NO_FLOW, position + 1, np.where(new, position, 0)))
    measured = np.append(0, np.cumsum(of.state == FLOW))
    window = np.maximum(position + 1 - WINDOW_H, 0)
    enough = measured[position + 1] - measured[window] >= MIN_MEASURED_H
    return begin, (position + 1 - begin >= WINDOW_H) & enough & (of.state == FLOW)


def _described(of: Hours, begin: int, last: int, holds: Bools) -> ContinuousFlow:
    while begin < last and of.state[begin] == UNKNOWN:
        begin += 1
    states = of.state[last + 1 - WINDOW_H : last + 1]
    flows = of.flow_ml[last + 1 - WINDOW_H : last + 1]
    hourly = [int(flow) if state == FLOW else None for flow, state in zip(flows, states, strict=True)]
    return ContinuousFlow(
        meter=int(of.meter[last]),
        started_at_s=int(of.end_s[begin]) - HOUR_S,
        raised_at_s=int(of.end_s[begin + int(np.argmax(holds[begin : last + 1]))]),
        seen_at_s=int(of.end_s[last]),
        rate_ml_h=int(flows[states == FLOW].min()),
        hourly_ml=hourly,
        ended_at_s=_first_rest(of, int(of.segment[last]), int(of.end_s[last])),
    )


def first_rests(of: Hours, after_s: Ints) -> dict[int, int]:
    """By meter the end of its first hour without flow that begins at `after_s` (one per meter) or later."""
    rests = np.flatnonzero((of.state == NO_FLOW) & (of.end_s >= after_s[of.meter] + HOUR_S))
    meters, first = np.unique(of.meter[rests], return_index=True)
    return dict(zip(meters.tolist(), of.end_s[rests[first]].tolist(), strict=True))


def _first_rest(of: Hours, segment: int, after_s: int) -> int | None:
    """End of the first hour without flow that begins at `after_s` or later."""
    low, high = np.searchsorted(of.segment, [segment, segment + 1])
    low += np.searchsorted(of.end_s[low:high], after_s + HOUR_S)
    still = np.flatnonzero(of.state[low:high] == NO_FLOW)
    return int(of.end_s[low + still[0]]) if len(still) else None
