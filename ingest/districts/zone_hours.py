"""Balance of the districts of one hour: what the database sums per district, to rows of `zone_hours`. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from metering.consumption import HOUR_S

from .balance import UNIFORM, Errors

LAGS_H = (2, 6, 26, 74)
"""An hour is computed when it is so old: meters that report at once, those of a few hours, daily ones, stragglers."""
MAX_HOURS = 12
"""Of one round; what was missed while the program stood is made up in as many rounds as it takes."""


class ZoneHour(NamedTuple):
    """A row of `zone_hours` but for its hour; volumes in millilitres."""

    zone_id: int
    inlet_ml: int | None
    outlet_ml: int | None
    customers_ml: int
    estimated_ml: int
    sigma_ml: int
    meters: int
    measured: int


def due(now_s: int, computed_s: Mapping[int, int], unknown_s: Collection[int] = ()) -> list[int]:
    """Beginnings of the hours to compute now, the newest first; `computed_s`: when each hour was computed last.
    `unknown_s`: earlier hours that a district has no balance of."""
    newest = now_s // HOUR_S * HOUR_S - LAGS_H[0] * HOUR_S
    hours = range(newest, newest - LAGS_H[-1] * HOUR_S - HOUR_S, -HOUR_S)
    recent = [hour for hour in hours if computed_s.get(hour, -1) < _deadline_s(hour, now_s)]
    return newest_of({*recent, *unknown_s})


def newest_of(hours: Iterable[int]) -> list[int]:
    """As many as one round takes, the newest first; each stands there once."""
    return sorted(hours, reverse=True)[:MAX_HOURS]


def _deadline_s(hour_s: int, now_s: int) -> int:
    """The newest age that counts and was reached; an hour computed before that is computed again."""
    return max(hour_s + lag * HOUR_S for lag in LAGS_H if hour_s + lag * HOUR_S <= now_s)


def balanced(row: Mapping[str, Any], errors: Errors) -> ZoneHour:
    """From sums over the measured customers and the usual hours of the others.

    The estimate is that of `balance.estimated`: those who did not report used what the others did, in proportion to
    their usual hour; who has none counts as the mean of the measured; who leaks (an open alert says so) at least that.
    """
    volume, measured = float(row["volume_ml"]), int(row["measured"])
    usual = float(row["usual_known_ml"] or 0.0)
    factor = volume / usual if usual > 0 else 1.0
    stranger = volume / measured if measured else 0.0
    by_habit = factor * float(row["usual_missing_ml"]) + int(row["strangers"]) * stranger
    guess = max(by_habit, float(row["leaking_ml"]))
    squares = factor**2 * float(row["missing_squares"]) + int(row["strangers"]) * stranger**2
    bulk = sum((errors.inlet * float(row[side] or 0)) ** 2 / UNIFORM for side in ("inlet_ml", "outlet_ml"))
    metered = errors.customer**2 / UNIFORM * float(row["squares"]) + float(row["counts"]) / 6
    sigma = math.sqrt(bulk + metered + errors.estimate**2 * squares)
    return ZoneHour(
        int(row["district"]), _whole(row["inlet_ml"]), _whole(row["outlet_ml"]), round(volume + guess), round(guess),
        round(sigma), int(row["meters"]), measured,
    )  # fmt: skip


def columns(hours: Iterable[ZoneHour]) -> list[list[Any]]:
    return [list(column) for column in zip(*hours, strict=True)]


def _whole(value: Any) -> int | None:
    return None if value is None else round(value)
