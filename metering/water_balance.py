"""The IWA standard water balance, and how far real losses lie above what cannot be avoided.

Sources: IWA "Performance Indicators for Water Supply Services" (Alegre et al., 2000), the terms of the balance;
Lambert, Brown, Takizawa, Weimer, "A review of performance indicators for real losses from water supply systems", AQUA
48 (1999), the unavoidable annual real losses; AWWA M36 (4th edition), default shares of what is not measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

M_PER_KM = 1_000
ML_PER_L = 1_000

UARL_L_PER_KM = 18.0
UARL_L_PER_CONNECTION = 0.80
"""Litres a day and metre of pressure, Lambert 1999, table 4: mains, and connections up to the property line. His third
term, 25 L per km of private pipe, is left out: meters stand at the property line."""
UARL_LEAST_CONNECTIONS = 3_000
"""Below that the formula was not tested (Lambert 1999); the figure is given and marked."""


class Shares(NamedTuple):
    """Of what nobody measures; defaults of AWWA M36."""

    unbilled: float = 0.0025
    """Flushing, fire fighting: of the system input."""
    unauthorised: float = 0.0025
    """Theft: of the system input."""
    under_registration: float = 0.02
    """What customers' meters do not count: of the billed volume."""


class Pipes(NamedTuple):
    """What is known of a network; None: not known."""

    mains_m: int | None = None
    connections: int | None = None
    pressure_m: float | None = None


@dataclass(frozen=True, slots=True)
class WaterBalance:
    """Volumes of a period in millilitres. input = billed + unbilled + apparent + real."""

    input_ml: int
    billed_ml: int
    unbilled_ml: int
    apparent_ml: int
    real_ml: int
    """May be negative where the customers' meters say more than the inlet: then the data are wrong, and it shows."""
    non_revenue_ml: int
    """unbilled + apparent + real."""
    carl_l_day: float
    """Current (annual) real losses."""
    uarl_l_day: float | None
    """Unavoidable ones; None without pipe data."""
    ili: float | None
    """Infrastructure leakage index CARL / UARL; None without pipe data."""


def water_balance(
    input_ml: int, billed_ml: int, days: int, pipes: Pipes | None = None, shares: Shares | None = None
) -> WaterBalance:
    """The balance of `days` days. Real losses are what remains."""
    shares, unavoidable = shares or Shares(), uarl_l_day(pipes or Pipes())
    unbilled = round(shares.unbilled * input_ml)
    apparent = round(shares.unauthorised * input_ml + shares.under_registration * billed_ml)
    real = input_ml - billed_ml - unbilled - apparent
    carl = real / ML_PER_L / max(days, 1)
    ili = None if unavoidable is None else carl / unavoidable
    return WaterBalance(input_ml, billed_ml, unbilled, apparent, real, input_ml - billed_ml, carl, unavoidable, ili)


def uarl_l_day(pipes: Pipes) -> float | None:
    """Unavoidable real losses in litres a day: (18 Lm + 0.8 Nc) P, with Lm mains in km, Nc service connections and P
    mean pressure in metres (Lambert 1999). None where one of them is not known."""
    if pipes.mains_m is None or pipes.connections is None or pipes.pressure_m is None:
        return None
    per_metre = UARL_L_PER_KM * pipes.mains_m / M_PER_KM + UARL_L_PER_CONNECTION * pipes.connections
    return per_metre * pipes.pressure_m
