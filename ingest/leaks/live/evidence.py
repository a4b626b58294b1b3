"""What an alert of the detector says for itself, in figures a page can argue with. Pure.

Volumes in millilitres, whatever the meter's size; hours of the day by the local clock; instants in ISO 8601.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ingest.leaks.detector import CLEARED_SHARE, shares
from ingest.leaks.events import Event
from ingest.leaks.faults import CYCLIC_FLOWS_L, SINGLE_HOURS, absence, compared
from ingest.leaks.habits import (
    CYCLIC,
    DAY_H,
    LEVELS,
    PAST_DAYS,
    SIZES,
    TESTS,
    VERSION,
    Floats,
    States,
    is_weekend,
    sizes,
    usual_shares,
    weights,
)
from metering.leak_settings import LeakSettings

NIGHT = slice(2, 5)
"""Hours of the night by which the utilities' people judge."""
LEAST_CHANCE = 1e-12
"""Hours are not independent of one another: a smaller chance would only sound exact, and pages say less than 1e-9."""
LEAST_STEP = 1e-3
OWN = {"detector": "own", "version": VERSION}


def hourly_ml(hours: Floats) -> list[int | None]:
    """From the first known hour to the last, which ends with the last reading of the evidence."""
    known = np.flatnonzero(~np.isnan(hours))
    if not len(known):
        return []
    within = hours[known[0] : known[-1] + 1].tolist()
    return [None if math.isnan(litres) else round(litres * 1_000) for litres in within]


def leak(
    states: States, at: int, hours: Floats, until_h: int, began_h: int, test: int, share: float, lasts: bool,
    settings: LeakSettings,
) -> dict[str, Any]:  # fmt: skip
    """Of the leak that a test of meter `at` sees at the begin of hour `until_h`, before which `hours` were. `share` is
    its evidence in terms of what it needs.

    `chance` bounds how probable such hours are in a home that goes on by its habits: the exponential of the negative
    log likelihood ratio, by Ville's inequality, if hours were independent of one another. `usual_share` goes by the
    hour in which the water begins to flow, habits by the one in which its reading is taken, which is one later.
    """
    level = LEVELS[TESTS[test].level]
    one = states[at : at + 1]
    size = float(sizes(one)[0])
    weekend = is_weekend((until_h - 1) // DAY_H)
    usual = np.roll(usual_shares(one, weekend)[0, :, TESTS[test].level], -1)
    counted = hours[-min(max(until_h - began_h, 0), len(hours)) :] if until_h > began_h else hours[:0]
    return {
        **OWN,
        "pattern": "cyclic" if test >= CYCLIC else "drip" if TESTS[test].level > SINGLE_HOURS else "steady",
        "level_l": round(level.litres * size, 2),
        "over_hours": level.hours,
        "certainty_times": round(share, 2),
        "chance": max(math.exp(-share * settings.evidence * TESTS[test].needed), LEAST_CHANCE),
        "hourly_ml": hourly_ml(hours),
        "usual_share": [round(float(each), 3) for each in usual],
        "night_minimum_before_ml_h": None,
        "night_minimum_now_ml_h": night_minimum_ml(hours, until_h - len(hours)),
        "hours_counted": int((~np.isnan(counted)).sum()),
        "flowing_share": _flowing_share(counted / size) if test >= CYCLIC else 1.0,
        "clears_when": _clears_when(one, test, weekend, settings) if lasts else None,
    }


def _flowing_share(hours: Floats) -> float:
    """Of the known hours, in terms of the size, those that the rate of a leak that comes and goes is read off."""
    known = hours[~np.isnan(hours)]
    return round(float((known >= CYCLIC_FLOWS_L).mean()), 3) if len(known) else 1.0


def night_minimum_ml(hours: Floats, first_h: int) -> int | None:
    """The median of the nights' least hours; None where no hour of a night is known."""
    number = first_h + np.arange(len(hours))
    hour, night = number % DAY_H, number // DAY_H
    at_night = (hour >= NIGHT.start) & (hour < NIGHT.stop) & ~np.isnan(hours)
    if not at_night.any():
        return None
    least = [hours[at_night & (night == one)].min() for one in np.unique(night[at_night])]
    return round(float(np.median(least)) * 1_000)


def _clears_when(one: States, test: int, weekend: bool, settings: LeakSettings) -> dict[str, int]:
    """So many hours with less than this, and the tests of the kind that raised it have forgotten."""
    of_kind = np.arange(CYCLIC, len(TESTS)) if test >= CYCLIC else np.arange(CYCLIC)
    share, evidence = shares(one, settings)[0, of_kind], one["evidence"][0, of_kind]
    down = weights(one, weekend)[1][0][:, of_kind].mean(axis=0)
    too_much = evidence * (1 - CLEARED_SHARE / np.maximum(share, CLEARED_SHARE))
    hours = np.ceil(too_much / np.maximum(-down, LEAST_STEP))
    speaking = {test, *of_kind[share > CLEARED_SHARE].tolist()}
    lowest = min(LEVELS[TESTS[each].level].litres for each in speaking) * float(sizes(one)[0])
    return {"hours_without_ml_h_above": round(lowest * 1_000), "hours": max(1, int(hours.max()))}


def burst(states: States, at: int, event: Event | None, hours: Floats) -> dict[str, Any]:
    """`hours` up to the newest of the burst."""
    known, size = hours[~np.isnan(hours)], float(sizes(states[at : at + 1])[0])
    peak = max(float(known.max(initial=0)), 0.0 if event is None else float(event.rate_l_h or 0))
    return {
        **OWN, "peak_ml_h": round(peak * 1_000), "own_maximum_ml_h": round(float(states["most"][at]) * size * 1_000),
        "hourly_ml": hourly_ml(hours),
    }  # fmt: skip


def reverse(hours: Floats) -> dict[str, Any]:
    """`volume_ml` ran back in those hours."""
    back = hours[~np.isnan(hours) & (hours < 0)]
    return {**OWN, "volume_ml": round(-float(back.sum()) * 1_000), "hourly_ml": hourly_ml(hours)}


def stuck(
    states: States, at: int, still_h: int, last_index_ml: int | None, settings: LeakSettings
) -> dict[str, Any]:  # fmt: skip
    """Hours that the register has stood still, the most it did before, how often people were away in the past days, and
    the hours from which on it is said."""
    longest_h, away = int(states["longest_still"][at]), absence(states[at : at + 1], settings)
    limit_h = max(float(away.limit_h[0]), settings.stuck_own * longest_h)
    return {
        **OWN, "still_h": still_h, "longest_before_h": longest_h, "last_index_ml": last_index_ml,
        "away_times": int(away.times[0]), "past_days": PAST_DAYS, "limit_h": math.ceil(limit_h),
    }  # fmt: skip


def under(states: States, at: int, settings: LeakSettings) -> dict[str, Any]:
    """Small, middling and large flows (quantiles of a day's hours with flow) and hours with flow a day: of the last
    days and of those before; medians."""
    one = states[at : at + 1]
    found, size = compared(one, settings), sizes(one)[0]
    usual, now = (_ml_each(each[0] * size) for each in (found.usual, found.now))
    usual_h, now_h = (None if math.isnan(each[0]) else round(float(each[0]), 1) for each in found[2:4])
    peak, now_peak = usual[-1], now[-1]
    return {
        **OWN, "rule": "all_sizes", "limit_share": settings.under_share, "quantiles": list(SIZES),
        "usual_sizes_ml_h": usual, "now_sizes_ml_h": now, "usual_flow_h": usual_h, "now_flow_h": now_h,
        "usual_peak_ml_h": peak, "now_peak_ml_h": now_peak, "days": settings.under_days,
        "share": None if not peak or now_peak is None else round(now_peak / peak, 3),
    }  # fmt: skip


def _ml_each(litres: Floats) -> list[int | None]:
    return [None if math.isnan(each) else round(each * 1_000) for each in litres.tolist()]
