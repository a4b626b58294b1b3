"""Settings of validation, billing, completeness and outages."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from metering.consumption import Rules, parse_by_size
from metering.section import Section


class ConsumptionSettings(Section):
    """Rules of validation by meter size; `0=6, 50=3`: 6 up to DN 50, from there on 3."""

    table = "consumption"
    model_config = SettingsConfigDict(env_prefix="NBWATER_CONSUMPTION_", extra="forbid", frozen=True)
    interpolate_h: str = Field(
        "0=6, 50=3",
        description="Gaps up to so many hours are interpolated evenly, longer ones estimated by the meter's own hours "
        "of the day; by nominal diameter in mm",
    )
    stuck_days: str = Field(
        "0=30, 50=7",
        description="A register that stands still for so many whole days is remarkable; by nominal diameter in mm",
    )

    @field_validator("interpolate_h", "stuck_days")
    @classmethod
    def _by_size(cls, value: str) -> str:
        parse_by_size(value)
        return value

    @property
    def rules(self) -> Rules:
        return Rules(parse_by_size(self.interpolate_h), parse_by_size(self.stuck_days))


class BillingSettings(Section):
    """Billing periods."""

    table = "billing"
    model_config = SettingsConfigDict(env_prefix="NBWATER_BILLING_", extra="forbid", frozen=True)
    settlement_day: int = Field(
        0,
        ge=0,
        le=28,
        description="Day of the month at whose begin the meters freeze their own settlement index; 0: not compared",
    )


class CompletenessSettings(Section):
    """What counts as a meter that was read (抄表成功率)."""

    table = "completeness"
    model_config = SettingsConfigDict(env_prefix="NBWATER_COMPLETENESS_", extra="forbid", frozen=True)
    expected_readings: int = Field(24, ge=1, le=1_440, description="Readings that a meter is to deliver for a day")
    success_readings: int = Field(
        1, ge=1, le=1_440, description="A meter counts as read on a day from so many readings of that day on"
    )
    success_needs_midnight: bool = Field(
        False, description="It counts as read only when readings reach both of the day's midnights, too"
    )


class OutageSettings(Section):
    """When the silence of many meters is one event: of a radio cell, a zone, a door or the whole platform."""

    table = "outage"
    model_config = SettingsConfigDict(env_prefix="NBWATER_OUTAGE_", extra="forbid", frozen=True)
    min_meters: int = Field(20, ge=2, description="Fewer silent meters of a group are told one by one")
    min_share: float = Field(
        0.8, gt=0, le=1, description="So much of what a group should have reported since must be missing"
    )
    within_h: float = Field(
        6.0, gt=0, le=48,
        description="An outage that is over is found where so many meters were due within so many hours",
    )  # fmt: skip
