"""Settings of the districts' balance and of the bursts that are looked for."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from metering.section import Section

HOURS_A_DAY, MAX_WINDOW_H, MAX_NUMBERS = 24, 336, 24


def numbers_of(text: str, least: int, most: int) -> tuple[int, ...]:
    """`2, 3` as (2, 3): ascending whole numbers within the bounds. Raises ValueError."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError("write whole numbers with commas") from None
    if not 0 < len(found) <= MAX_NUMBERS or list(found) != sorted(set(found)):
        raise ValueError(f"1 to {MAX_NUMBERS} numbers, each greater than the one before")
    if found[0] < least or found[-1] > most:
        raise ValueError(f"numbers from {least} to {most}")
    return found


class DistrictSettings(Section):
    """Districts: errors of their meters, and when a lasting rise of the balance or of the inflow is a burst."""

    table = "districts"
    model_config = SettingsConfigDict(env_prefix="NBWATER_DISTRICTS_", extra="forbid", frozen=True)
    every_s: float = Field(60.0, ge=1, le=3_600, description="s between two looks for hours that are due")
    days: int = Field(
        120, ge=35, le=400, description="Past days that the detector looks at, and that are balanced for a new district"
    )
    usual_days_ago: str = Field(
        "1, 2, 7", description="A meter's usual use is the mean of these days before; who did not report is estimated"
    )
    inlet_error: float = Field(0.01, gt=0, le=0.2, description="Permissible error of bulk meters, share of the volume")
    customer_error: float = Field(0.02, gt=0, le=0.2, description="The same of customers' meters")
    estimate_scatter: float = Field(
        1.5, gt=0, le=10, description="Standard deviation of an estimated hour, over its mean"
    )
    measured_share: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Of the customers so many must be measured for the balance to be watched, else inflow",
    )
    balance_windows_h: str = Field(
        "3, 4, 6, 8, 12, 18, 24, 36, 48, 72", description="Windows over which the balance is averaged, h"
    )
    balance_threshold: float = Field(
        4.5, gt=0, le=100, description="Times the district's own usual deviation; more: fewer false alerts, later ones"
    )
    balance_least_share: float = Field(0.04, gt=0, le=1, description="Least burst told by balance, share of the inflow")
    inflow_windows_h: str = Field("48, 72, 96, 120, 168", description="The same by inflow alone, h")
    inflow_threshold: float = Field(2.7, gt=0, le=100, description="As balance_threshold, by inflow")
    inflow_least_share: float = Field(
        0.12, gt=0, le=1, description="Least burst told by inflow, share of the night flow"
    )
    inflow_hours: str = Field(
        ", ".join(map(str, range(HOURS_A_DAY))), description="Local hours of the day that count for the inflow"
    )
    critical_share: float = Field(0.1, gt=0, le=1, description="From this share of the inflow on a burst is critical")
    mended_share: float = Field(0.5, gt=0, le=1, description="A fall by so much of what leaks ends the alert")

    @field_validator("usual_days_ago")
    @classmethod
    def _days_before(cls, value: str) -> str:
        numbers_of(value, 1, 28)
        return value

    @field_validator("balance_windows_h", "inflow_windows_h")
    @classmethod
    def _windows(cls, value: str) -> str:
        numbers_of(value, 1, MAX_WINDOW_H)
        return value

    @field_validator("inflow_hours")
    @classmethod
    def _hours(cls, value: str) -> str:
        numbers_of(value, 0, HOURS_A_DAY - 1)
        return value

    @property
    def usual_days(self) -> tuple[int, ...]:
        return numbers_of(self.usual_days_ago, 1, 28)
