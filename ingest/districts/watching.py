"""From the balanced hours of some districts to their newest bursts: by balance where customers are measured, else by
the inflow of the night. Pure; it takes seconds for hundreds of districts, so that it runs beside the event loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from metering.consumption import HOUR_S, Bools, Ints
from metering.district_settings import DistrictSettings

from . import zone_alerts
from .detection import balance_rules, inflow_rules
from .level_shifts import DAY_H, Floats, Rules, find_shifts
from .zone_alerts import ZoneFinding


class Past(NamedTuple):
    """Districts × hours from `first_s` on; NaN where an hour is not known. Volumes in ml, `share` of 0 … 1."""

    zone_ids: list[int]
    first_s: int
    hour_of_day: Ints
    inflow: Floats
    customers: Floats
    sigma: Floats
    share: Floats


def past_of(rows: Sequence[Mapping[str, Any]], first_s: int, until_s: int, zone: ZoneInfo) -> Past:
    """`rows`: zone_id, hour_s, inflow, customers, sigma and share of each hour that is known; `first_s` is a local
    midnight."""
    zones = sorted({row["zone_id"] for row in rows})
    hours = (until_s - first_s) // HOUR_S
    table: Floats = np.full((4, len(zones), hours), np.nan)
    at = {zone_id: position for position, zone_id in enumerate(zones)}
    for row in rows:
        place = at[row["zone_id"]], (row["hour_s"] - first_s) // HOUR_S
        table[(slice(None), *place)] = [
            np.nan if row[name] is None else row[name] for name in ("inflow", "customers", "sigma", "share")
        ]
    begins = np.arange(first_s, until_s, HOUR_S, dtype=np.int64)
    offset = np.array([_offset_s(int(begin), zone) for begin in begins[::DAY_H]], np.int64).repeat(DAY_H)[:hours]
    return Past(zones, first_s, (begins + offset) // HOUR_S % DAY_H, *table)


def findings(past: Past, settings: DistrictSettings) -> list[ZoneFinding]:
    """The newest burst of each district that had one."""
    if not past.zone_ids:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a district of which no hour is known
        by_balance = np.nanmedian(past.share, axis=1) >= settings.measured_share
    return [
        *_of(past, by_balance, past.inflow - past.customers, past.sigma**2, balance_rules(settings), settings),
        *_of(past, ~by_balance, past.inflow, None, inflow_rules(settings), settings),
    ]


def _of(
    past: Past, chosen: Bools, values: Floats, variance: Floats | None, rules: Rules, settings: DistrictSettings
) -> list[ZoneFinding]:
    ids = [zone_id for zone_id, one in zip(past.zone_ids, chosen, strict=True) if one]
    if not ids:
        return []
    shifts = find_shifts(
        values[chosen], past.hour_of_day, rules, None if variance is None else variance[chosen],
        reference=past.inflow[chosen],
    )  # fmt: skip
    rule = "night" if variance is None else "balance"
    newest = (
        zone_alerts.newest(zone_id, (one for one in shifts if one.district == at), past.first_s, rule, settings)
        for at, zone_id in enumerate(ids)
    )
    return [finding for finding in newest if finding is not None]


def _offset_s(at_s: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset() or timedelta()
    return int(offset.total_seconds())
