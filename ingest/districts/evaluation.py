"""Files of indices and inflows to alerts, by the detectors that run in production and causally: at each hour only what
had arrived. Pure. Rates are in litres per hour; times in Unix seconds go in, local times of the file come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from ingest.alert_file import EvaluatedAlert
from metering.consumption import HOUR_S, Ints, Limits

from . import balance
from .known_hours import NEVER, KnownHours, known_hours
from .level_shifts import Correction, Floats, Rules, Shift, find_shifts

DMA_LEAK = "DMA_LEAK"
ML_PER_L = 1_000
L_PER_H_PER_L_PER_S = 3_600


class Indices(NamedTuple):
    """Readings of several meters, in any order; `meter` is the position in `limits`."""

    meter: Ints
    ts_s: Ints
    index_ml: Ints
    limits: Limits


class Inflows(NamedTuple):
    """Mean net inflow of districts in the hour that begins at `first_s + column × 3600`, litres per second."""

    subjects: Sequence[str]
    first_s: int
    flow_l_s: Floats
    """Districts × hours, NaN: not known."""


def customers_limits(names: Sequence[str], q3_l_h: Mapping[str, int]) -> Limits:
    """Of customers' meters, by their Q3; who is not named there has a household's (2.5 m³/h)."""
    each = [Limits.of(q3_l_h[name]) if name in q3_l_h else Limits.of() for name in names]
    return Limits(*(np.concatenate(column) for column in zip(*each, strict=True)))


def from_readings(subject: str, customers: Indices, inlet: Indices, rules: Rules) -> list[EvaluatedAlert]:
    """Bursts of the district whose customers are all these meters and whose only inlet is the one meter of `inlet`.

    Times are local ones, written as if they were UTC.
    """
    first_s = -(-int(inlet.ts_s.min()) // HOUR_S) * HOUR_S
    hours = int(inlet.ts_s.max() - first_s) // HOUR_S
    main = known_hours(*inlet, first_s, hours)
    homes = known_hours(*customers, first_s, hours)
    in_time, corrections = as_it_came(homes, first_s)
    inflow = main.volume_ml[0]
    found = balance.balance(
        inflow, np.zeros_like(inflow), balance.Hours(in_time, customers.limits.resolution_ml.astype(np.float64))
    )
    shifts = find_shifts(
        found.unaccounted[None, :], _hour_of_day(first_s, hours), rules, found.sigma[None, :] ** 2, corrections,
        found.inflow[None, :],
    )  # fmt: skip
    return _alerts(shifts, [subject], first_s, 1 / ML_PER_L)


def as_it_came(homes: KnownHours, first_s: int) -> tuple[Floats, dict[int, list[Correction]]]:
    """Volumes as known when each hour ended, and by hour what became known later: what the customers used more than
    was estimated is that much less unaccounted."""
    hours = homes.volume_ml.shape[1]
    end_s = first_s + HOUR_S * (np.arange(hours) + 1)
    late = homes.known_s > end_s
    in_time = np.where(late, np.nan, homes.volume_ml)
    guess = balance.estimated(in_time, balance.usual_per_hour(in_time))
    corrections: dict[int, list[Correction]] = {}
    for meter, hour in zip(*np.nonzero(late & (homes.known_s != NEVER)), strict=True):
        at = int(homes.known_s[meter, hour] - first_s - 1) // HOUR_S
        surplus = float(guess[meter, hour] - homes.volume_ml[meter, hour])
        variance = (balance.ESTIMATE_SCATTER * guess[meter, hour]) ** 2
        corrections.setdefault(at, []).append(Correction(0, int(hour), surplus, -variance / 2))
    return in_time, corrections


def from_inflows(inflows: Inflows, rules: Rules) -> list[EvaluatedAlert]:
    """Bursts of districts of which only the inflow is known."""
    hours = inflows.flow_l_s.shape[1]
    shifts = find_shifts(inflows.flow_l_s, _hour_of_day(inflows.first_s, hours), rules)
    return _alerts(shifts, inflows.subjects, inflows.first_s, L_PER_H_PER_L_PER_S)


def _alerts(shifts: Sequence[Shift], subjects: Sequence[str], first_s: int, to_l_h: float) -> list[EvaluatedAlert]:
    return [_alert(of, subjects[of.district], first_s, to_l_h) for of in shifts if of.is_leak]


def _alert(of: Shift, subject: str, first_s: int, to_l_h: float) -> EvaluatedAlert:
    seen, start = _local(first_s + HOUR_S * (of.seen + 1)), _local(first_s + HOUR_S * of.start)
    return EvaluatedAlert(subject, DMA_LEAK, seen, of.size * to_l_h, start)


def _local(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None)


def _hour_of_day(first_s: int, hours: int) -> Ints:
    hour: Ints = first_s // HOUR_S % 24 + np.arange(hours, dtype=np.int64)
    return hour % 24
