"""Lasting shifts of a flow against its own habits, found causally: a change point with start, size and uncertainty.

Pure and vectorised over districts; values are hourly, in any one unit of flow. A burst adds the same to every hour, so
each hour is compared with the median of its hour of day over the last days, and a weighted mean of the deviations over
windows of several lengths is tested (a generalised likelihood ratio, as CUSUM charts use it: Basseville and Nikiforov,
Detection of Abrupt Changes, 1993, section 2.4). What is normal for such a mean is not assumed but taken from each
district's own past: a quantile of its size over the last weeks, shifts included. A district that is restless gets a
higher threshold, not more alerts.

After a shift the earlier values are moved to the new level, so that the next shift is measured from there: a second
burst on top of the first is found, and so is the repair. A rise that only undoes a fall is no leak.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metering.consumption import Bools, Ints

from .hour_weights import LEAST_DAYS, hour_weights

Floats = NDArray[np.float64]

DAY_H = 24
WEEK_H = 168
LIKELY = 3.84
"""95 % point of χ² with one degree of freedom: starts whose likelihood ratio is this close to the best are possible."""
USUAL_SHARE = 0.5
USUAL_DAYS = 42
"""A level counts as usual when the flow lay there, or above, for this share of these days before a shift."""


class Rules(NamedTuple):
    """What is looked for; hours of the day are local ones."""

    windows_h: tuple[int, ...]
    threshold: float
    """In units of the district's own usual deviation."""
    least_share: float
    """Of the usual reference flow in `level_hours`."""
    hours_of_day: tuple[int, ...] = tuple(range(DAY_H))
    """Those that count."""
    level_hours: tuple[int, ...] = tuple(range(DAY_H))
    weighed: bool = False
    """Hours weigh by what they tell together of a constant flow (`hour_weights`); else each by its own variance."""
    history_days: int = 28
    """From which the habits come."""
    scale_days: int = 120
    """From which the usual size of deviations comes."""
    usual: tuple[float, float] = (0.5, 0.6745)
    """Quantile of the absolute deviations that gives their scale, and what a normal variable has there."""
    common: bool = False
    """Subtract what all other districts do at the same time (holidays, weather, clock changes)."""
    floor_share: float = 0.01
    """No hour is taken to be more regular than this share of the level."""
    warm_days: int = 21
    clip: float = np.inf
    """An hour counts for no more than so many of its own standard deviations: one wild hour proves nothing."""


class Correction(NamedTuple):
    """What becomes known of an earlier hour: added to its value and to its variance at hour `at`."""

    district: int
    hour: int
    value: float
    variance: float


class Shift(NamedTuple):
    """The flow of `district` moved by `size` at hour `start`, known at hour `seen` (positions of hours)."""

    district: int
    seen: int
    start: int
    earliest: int
    latest: int
    size: float
    size_sigma: float
    score: float
    """Deviation over threshold; at least 1."""
    level: float
    """Usual reference flow of the district before, over the hours that count."""
    is_leak: bool
    """A rise beyond what was usual; False: a fall, or a return."""


def find_shifts(
    values: Floats,
    hour_of_day: Ints,
    rules: Rules,
    variance: Floats | None = None,
    corrections: Mapping[int, Sequence[Correction]] | None = None,
    reference: Floats | None = None,
) -> list[Shift]:
    """All shifts of `values` (districts × hours, NaN: not known), in the order in which they are seen.

    `hour_of_day` is the local hour of each column; `variance` that of measuring, in the same unit squared. Shares are
    of the median of `reference` over the hours that count: the inflow, where values are a balance; else the values.
    """
    chart = _Chart(values, hour_of_day, rules, variance, values if reference is None else reference)
    found: list[Shift] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # medians of hours that nothing is known of
        for at in range(values.shape[1]):
            chart.correct((corrections or {}).get(at, ()))
            found += chart.advance(at)
    return found


class _Chart:
    """The state after each hour; advances one hour at a time and never looks ahead."""

    def __init__(
        self, values: Floats, hour_of_day: Ints, rules: Rules, variance: Floats | None, reference: Floats
    ) -> None:
        self._rules, self._hour_of_day, self._reference = rules, hour_of_day, reference
        self._values = values.astype(np.float64, copy=True)
        districts, hours = values.shape
        self._variance = np.zeros_like(self._values) if variance is None else variance.astype(np.float64, copy=True)
        self._counts, self._of_level = (np.isin(np.arange(DAY_H), of) for of in (rules.hours_of_day, rules.level_hours))
        self._moved = np.zeros((districts, hours))
        """To add to a past value to bring it to today's level."""
        self._residual = np.zeros((districts, hours))
        self._weight = np.zeros((districts, hours))
        self._sigma = np.ones((districts, hours))
        """Of each hour by itself."""
        self._windows = np.array(rules.windows_h)
        self._deviation = np.full((districts, len(rules.windows_h), hours), np.nan)
        self._scale = np.full((districts, len(rules.windows_h)), np.nan)
        self._usual, self._spread = (np.full((districts, DAY_H), np.nan) for _ in range(2))
        self._factor = np.ones((districts, DAY_H))
        """Weight of the hours of the day over that of their own variance."""
        self._level = np.full(districts, np.nan)

    def correct(self, corrections: Sequence[Correction]) -> None:
        for of in corrections:
            place = of.district, of.hour
            self._values[place] += of.value
            self._residual[place] += of.value
            self._variance[place] += of.variance
            if self._weight[place] > 0:
                spread = self._spread[of.district, self._hour_of_day[of.hour]]
                before, self._sigma[place] = self._sigma[place], max(spread, self._variance[place] ** 0.5)
                self._weight[place] *= (before / self._sigma[place]) ** 2

    def advance(self, at: int) -> Iterator[Shift]:
        """Takes the hour in, and gives the shifts that it shows."""
        if self._hour_of_day[at] == 0 and at >= self._rules.warm_days * DAY_H:
            self._learn(at)
        if not np.isfinite(self._usual).any():
            return
        known = self._take(at)
        ratio, sums, weights = self._tested(at)
        for district in np.flatnonzero((np.nanmax(ratio, axis=1, initial=0.0) > 1) & known):
            shift = self._located(int(district), at, sums[district], weights[district])
            if shift is not None:
                self._move(shift, at)
                yield shift

    def _learn(self, at: int) -> None:
        """Once a day: habits by hour of day, their spread, and what deviations are usual."""
        rules = self._rules
        days = min(rules.history_days, at // DAY_H)
        from_hour = at - days * DAY_H
        past = (self._values[:, from_hour:at] + self._moved[:, from_hour:at]).reshape(len(self._level), days, DAY_H)
        self._usual = np.nanmedian(past, axis=1)
        reference = self._reference[:, from_hour:at].reshape(past.shape)[:, :, self._of_level]
        self._level = np.nanmedian(reference.reshape(len(reference), -1), axis=1)
        spread = 1.4826 * np.nanmedian(np.abs(past - self._usual[:, None]), axis=1)
        self._spread = np.maximum(spread, rules.floor_share * np.abs(self._level)[:, None])
        self._usual[np.isfinite(past).sum(axis=1) < rules.history_days / 3] = np.nan
        recent = np.abs(self._deviation[:, :, max(0, at - rules.scale_days * DAY_H) : at])
        quantile, normal = rules.usual
        self._scale = np.maximum(np.nanquantile(recent, quantile, axis=2) / normal, 1.0)
        self._scale[np.isfinite(recent).sum(axis=2) < WEEK_H] = np.nan
        self._weigh(at)

    def _weigh(self, at: int) -> None:
        """What the hours of the day weigh from now on."""
        self._factor[:] = self._counts
        days = min(self._rules.scale_days, at // DAY_H - self._rules.warm_days)
        if not self._rules.weighed or days < LEAST_DAYS:
            return
        last = slice(at - days * DAY_H, at)
        known = np.where(np.isfinite(self._values[:, last]), self._residual[:, last], np.nan)
        past = known.reshape(len(self._level), days, DAY_H)[:, :, self._counts]
        spread = 1.4826 * np.nanmedian(np.abs(past), axis=1)
        weights = hour_weights(past, spread, self._rules.floor_share * np.abs(self._level))
        sure = np.isfinite(weights).all(axis=1)
        self._factor[np.ix_(sure, self._counts)] = (weights * self._spread[:, self._counts] ** 2)[sure]

    def _take(self, at: int) -> Bools:
        """Which districts have a value that counts at this hour."""
        hour = self._hour_of_day[at]
        residual = self._values[:, at] - self._usual[:, hour]
        if self._rules.common:
            residual = residual - self._level * _of_the_others(residual / self._level)
        known = np.isfinite(residual) & self._counts[hour]
        self._residual[:, at] = np.where(np.isfinite(residual), residual, 0.0)
        self._sigma[:, at] = np.maximum(self._spread[:, hour], np.sqrt(self._variance[:, at]))
        self._weight[:, at] = np.where(known, self._factor[:, hour] / self._sigma[:, at] ** 2, 0.0)
        found: Bools = known & (self._weight[:, at] > 0)
        return found

    def _tested(self, at: int) -> tuple[Floats, Floats, Floats]:
        """Deviation over threshold by district and window, and the running sums over the past of which it comes."""
        first = max(0, at + 1 - int(self._windows[-1]))
        weight = self._weight[:, first : at + 1][:, ::-1]
        residual = self._residual[:, first : at + 1][:, ::-1]
        sums, weights = np.cumsum(weight * residual, axis=1), np.cumsum(weight, axis=1)
        bound = self._rules.clip * self._sigma[:, first : at + 1][:, ::-1]
        clipped = np.cumsum(weight * np.clip(residual, -bound, bound), axis=1)
        window = np.minimum(self._windows, sums.shape[1]) - 1
        deviation = clipped[:, window] / np.sqrt(weights[:, window])
        self._deviation[:, :, at] = deviation
        ratio = deviation / self._scale
        return np.abs(ratio) / self._rules.threshold, sums, weights

    def _located(self, district: int, at: int, sums: Floats, weights: Floats) -> Shift | None:
        """The most likely start and the size from there on; None when that is too small to matter."""
        lags = np.arange(1, len(sums) + 1)
        scale = np.interp(lags, self._windows, np.nan_to_num(self._scale[district], nan=1.0))
        ratio = np.abs(np.where(weights > 0, sums / np.sqrt(weights), 0.0)) / scale
        best = int(np.argmax(ratio))
        size, level = float(sums[best] / weights[best]), float(self._level[district])
        if abs(size) < self._rules.least_share * abs(level):
            return None
        likely = np.flatnonzero(ratio**2 > ratio[best] ** 2 - LIKELY)
        start = at - best
        before = self._moved[district, max(0, start - USUAL_DAYS * DAY_H) : start] + size
        usual = float(np.quantile(before, USUAL_SHARE)) if len(before) else size
        return Shift(
            district, at, start, at - int(likely[-1]), at - int(likely[0]), size,
            float(scale[best] / np.sqrt(weights[best])), float(ratio[best] / self._rules.threshold), level,
            size > 0 and usual >= self._rules.least_share * abs(level),
        )  # fmt: skip

    def _move(self, shift: Shift, at: int) -> None:
        of, start = shift.district, shift.start
        self._moved[of, :start] += shift.size
        self._residual[of, start : at + 1] -= shift.size
        if not self._rules.weighed:
            self._deviation[of, :, start : at + 1] = np.nan
        self._usual[of] += shift.size


def _of_the_others(relative: Floats) -> Floats:
    """For each district the median of all others; 0 where there are fewer than three."""
    others = np.where(np.eye(len(relative), dtype=bool), np.nan, relative[None, :])
    median = np.nanmedian(others, axis=1)
    return np.where(np.isfinite(others).sum(axis=1) >= 3, np.nan_to_num(median), 0.0)
