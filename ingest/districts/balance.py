"""The water balance of a district: inlet − outlet − sum of the customers = unaccounted, with its uncertainty.

Pure and vectorised; volumes in one unit (millilitres in the platform) for each hour. A meter that nothing is known of
in an hour is taken to have used what the measured ones did, in proportion to its own usual day. The uncertainty is the
standard one of JCGM 100 (GUM) section 5.1: permissible errors of meters count as uniform distributions, errors of
different meters as independent; what is estimated adds its own scatter: each missing meter widens the band.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metering.consumption import Bools

from .level_shifts import DAY_H, Floats

INLET_ERROR = 0.01
"""Permissible error of bulk meters, as share of the volume: electromagnetic meters, class 1 of OIML R 49."""
CUSTOMER_ERROR = 0.02
"""The same of class 2 in the upper flow zone, which most volume passes in."""
ESTIMATE_SCATTER = 1.5
"""Standard deviation of a household's hour as share of its mean: hours of homes vary more than they are large."""


class Errors(NamedTuple):
    """As shares of the volume: permissible errors of the meters, scatter of an hour that is estimated."""

    inlet: float = INLET_ERROR
    customer: float = CUSTOMER_ERROR
    estimate: float = ESTIMATE_SCATTER


UNIFORM = 3.0
"""A uniform distribution of half width a has the variance a² / 3."""
BAND = 1.96
"""Half width of the 95 % band in standard uncertainties."""
USUAL_DAYS = 28
"""From which a meter's usual use is learnt."""
LASTING_HOURS = 3
"""A flow that did not rest in the last so many measured hours goes on: a customer's own leak does not end because a
reading is lost, and is not to be blamed on the main."""
LASTING_DAYS = 2
"""… for so long."""


class Hours(NamedTuple):
    """Customers' volumes, meters × hours."""

    volume: Floats
    """NaN where nothing is known."""
    resolution: Floats
    """One count of each meter's register."""


class Balance(NamedTuple):
    """One entry per hour; NaN where the inlet is not known."""

    inflow: Floats
    """Inlets − outlets."""
    customers: Floats
    """Measured and estimated."""
    estimated: Floats
    """The part of `customers` that is not measured."""
    unaccounted: Floats
    sigma: Floats
    """Standard uncertainty of `unaccounted`."""
    measured: Floats
    """Share of the meters that were measured, 0 … 1."""

    @property
    def band(self) -> tuple[Floats, Floats]:
        """Bounds of the 95 % band."""
        return self.unaccounted - BAND * self.sigma, self.unaccounted + BAND * self.sigma


def usual_per_hour(volume: Floats, days: int = USUAL_DAYS) -> Floats:
    """Mean hour of each meter over the `days` before each hour's day, learnt from measured hours; causal.

    NaN before the first whole day and where a meter was never measured.
    """
    meters, hours = volume.shape
    whole = -(-hours // DAY_H)
    padded = np.full((meters, whole * DAY_H), np.nan)
    padded[:, :hours] = volume
    by_day = padded.reshape(meters, whole, DAY_H)
    total, count = np.nansum(by_day, axis=2), np.isfinite(by_day).sum(axis=2)
    before = np.maximum(np.arange(whole) - days, 0)
    sums, counts = (np.concatenate((np.zeros((meters, 1)), np.cumsum(of, axis=1)), axis=1) for of in (total, count))
    upto = np.arange(whole)
    with np.errstate(invalid="ignore"):
        mean = (sums[:, upto] - sums[:, before]) / (counts[:, upto] - counts[:, before])
    usual: Floats = np.repeat(mean, DAY_H, axis=1)[:, :hours]
    return usual


def lasting(volume: Floats) -> Floats:
    """The least of the last LASTING_HOURS measured hours of each meter before each hour; 0 where they are too long ago
    or too few."""
    hours = volume.shape[1]
    known = np.isfinite(volume)
    least = volume.copy()
    least[:, : LASTING_HOURS - 1] = np.nan
    for back in range(1, LASTING_HOURS):
        least[:, back:] = np.minimum(least[:, back:], volume[:, :-back])
    newest = np.maximum.accumulate(np.where(np.isfinite(least), np.arange(hours), -1), axis=1)
    recent = (newest >= 0) & (np.arange(hours) - newest <= LASTING_DAYS * DAY_H)
    carried = np.take_along_axis(least, np.maximum(newest, 0), axis=1)
    return np.where(recent & ~known, carried, 0.0)


def estimated(volume: Floats, usual: Floats) -> Floats:
    """`volume` with what is missing put in: the meter's usual hour times what the measured ones use of theirs, or what
    last flowed without a rest, whichever is more.

    A meter of which no usual hour is known counts as the mean of all; where nobody was measured the usual hours stand.
    """
    known = np.isfinite(volume)
    typical = np.where(np.isfinite(usual), usual, 0.0)
    of_known, expected = np.where(known, volume, 0.0).sum(axis=0), np.where(known, typical, 0.0).sum(axis=0)
    factor = np.where(expected > 0, of_known / np.where(expected > 0, expected, 1.0), 1.0)
    mean = typical.sum(axis=0) / np.maximum(np.isfinite(usual).sum(axis=0), 1)
    guess = np.where(np.isfinite(usual), usual, mean) * factor
    return np.where(known, volume, np.maximum(guess, lasting(volume)))


def balance(inlet: Floats, outlet: Floats, customers: Hours, usual: Floats | None = None) -> Balance:
    """The balance of each hour; `usual` as from `usual_per_hour`, learnt from `customers` when it is not given."""
    usual = usual_per_hour(customers.volume) if usual is None else usual
    known = np.isfinite(customers.volume)
    volume = estimated(customers.volume, usual)
    total = volume.sum(axis=0)
    inflow = inlet - outlet
    variance = variance_of(inlet, outlet, volume, known, customers.resolution)
    meters = max(len(known), 1)
    return Balance(
        inflow, total, np.where(known, 0.0, volume).sum(axis=0), inflow - total, np.sqrt(variance),
        known.sum(axis=0) / meters,
    )  # fmt: skip


def variance_of(inlet: Floats, outlet: Floats, volume: Floats, known: Bools, resolution: Floats) -> Floats:
    """Of the unaccounted volume, in the unit squared. An index rounded to one count is off by up to one at either end
    of the hour: their difference has the variance count² / 6."""
    bulk = (INLET_ERROR * inlet) ** 2 / UNIFORM + (INLET_ERROR * outlet) ** 2 / UNIFORM
    metered = np.where(known, (CUSTOMER_ERROR * volume) ** 2 / UNIFORM + resolution[:, None] ** 2 / 6, 0.0)
    unknown = np.where(known, 0.0, (ESTIMATE_SCATTER * volume) ** 2)
    variance: Floats = bulk + (metered + unknown).sum(axis=0)
    return variance


def daily(of: Balance, first_hour: int = 0) -> Balance:
    """Whole days of 24 hours from `first_hour` on. The errors of one meter are the same all day: they add up, those of
    estimates do not. A day without an hour of the inlet is NaN."""
    days = (len(of.inflow) - first_hour) // DAY_H

    def by_day(values: Floats) -> Floats:
        shaped: Floats = values[first_hour : first_hour + days * DAY_H].reshape(days, DAY_H)
        return shaped

    inflow, customers, guessed = (by_day(values).sum(axis=1) for values in (of.inflow, of.customers, of.estimated))
    bulk = (INLET_ERROR * np.abs(inflow)) ** 2 / UNIFORM
    hourly_bulk = (INLET_ERROR * by_day(of.inflow)) ** 2 / UNIFORM
    rest = np.maximum(by_day(of.sigma) ** 2 - hourly_bulk, 0.0).sum(axis=1)
    return Balance(
        inflow, customers, guessed, inflow - customers, np.sqrt(bulk + rest), by_day(of.measured).mean(axis=1)
    )
