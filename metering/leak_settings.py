"""Settings of leak detection."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from metering.section import Section


class VendorRule(StrEnum):
    """Rules that meter makers build in, as of ingest/leaks/rules.py."""

    FLOW_24H = "flow_24h"
    FLOW_3_8 = "flow_3_8"
    Q3_0_5 = "q3_0_5"


class LeakSettings(Section):
    """Leak detection: how sure it must be, and how long faults must last."""

    table = "leaks"
    model_config = SettingsConfigDict(env_prefix="NBWATER_LEAKS_", extra="forbid", frozen=True)
    every_s: float = Field(
        120.0, gt=0, le=300, description="How often the running platform looks at meters with new readings"
    )
    history_days: int = Field(
        120, ge=28, le=400, description="So much of the past a meter is learned from when nothing is known of it"
    )
    evidence: float = Field(
        1.4, gt=0, le=10, description="Times the usual evidence that a leak needs; more: fewer false alerts, later ones"
    )
    evidence_calm: float = Field(
        1.0, gt=0, le=10, description="The same in homes that never came near a leak by themselves"
    )
    own_highest: float = Field(1.1, ge=1, description="Evidence needed in terms of the highest the home had by itself")
    learn_below: float = Field(
        0.85, gt=0, le=1, description="Days that came nearer to an alert than this share are not learned as habits"
    )
    half_life_days: float = Field(28.0, ge=7, le=365, description="Habits so old count half")
    first_days: int = Field(14, ge=7, le=90, description="Days a meter is learned before anything is said of it")
    least_hours: int = Field(24, ge=6, le=168, description="What flowed shorter than this is use, not a leak")
    burst_l_h: float = Field(600.0, gt=0, description="A burst flows at least so much in two hours running")
    burst_own: float = Field(1.2, ge=1, description="And so many times the most that two hours running ever had")
    stuck_days: float = Field(
        7.0, ge=1, description="A register that stands still so long may be stuck, where people were never away before"
    )
    stuck_away_days: float = Field(
        4.0, ge=0, description="So many days more for each 2.7 times as often as people were away in the 8 weeks before"
    )
    stuck_own: float = Field(1.5, ge=1, description="And so many times the longest it stood still before")
    stuck_used: float = Field(0.5, gt=0, le=1, description="Only where water was used on so many of the days before")
    silent_after_h: int = Field(73, ge=25, description="Without a reading for so long a meter is silent (evaluation)")
    under_days: int = Field(14, ge=7, le=28, description="Days compared with those before to find under-registering")
    under_share: float = Field(0.75, gt=0, lt=1, description="Of all usual sizes of flow, at most so much is left")
    under_evidence: float = Field(
        0.8, gt=0, le=10, description="So much in all, of days running with ln(share / what is left) each"
    )
    vendor_rules: tuple[VendorRule, ...] = Field(
        (),
        description="Makers' rules that hold for all meters: flow_24h (any flow in each of 24 hours), flow_3_8 (3.8 "
        "L/h in each), q3_0_5 (0.5 % of Q3 in each); none: flow_24h where our own detector does not know the meter yet",
    )
