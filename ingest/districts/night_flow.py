"""Minimum night flow of a district, and what of it is legitimate. Pure.

Night flow − legitimate night use = what leaks at the hour when pressure is highest (A. Lambert, "Accounting for losses:
the bursts and background concept", 1994; IWA Water Loss Task Force). The legitimate part is usually taken from tables;
here it is what the customers' own meters say, where they report hours.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from metering.consumption import Ints

from .balance import BAND, Balance
from .level_shifts import DAY_H, Floats

NIGHT_HOURS = (2, 3, 4)
"""Local hours of least use; the median of their flows stands one wild hour."""


class Night(NamedTuple):
    """One entry per local day; NaN where the inlet is not known at night."""

    inflow: Floats
    """Median hourly net inflow."""
    legitimate: Floats
    """Median hourly use of the customers."""
    net: Floats
    """Median hourly unaccounted flow: leakage of the network."""
    band: Floats
    """Half width of the 95 % band of `net`."""


def nights(of: Balance, hour_of_day: Ints) -> Night:
    """`hour_of_day` is the local hour of each entry of the balance, which begins at local midnight; whole days only."""
    days = len(of.inflow) // DAY_H
    counts = np.isin(hour_of_day[: days * DAY_H], NIGHT_HOURS).reshape(days, DAY_H)

    def median(values: Floats) -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nights of which nothing is known
            middle: Floats = np.nanmedian(np.where(counts, values[: days * DAY_H].reshape(days, DAY_H), np.nan), axis=1)
        return middle

    return Night(median(of.inflow), median(of.customers), median(of.unaccounted), BAND * median(of.sigma))
