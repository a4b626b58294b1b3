"""What counts as a burst on a main: the rules for a balance and for an inflow alone. Pure.

What a utility would change comes from its settings; what is fixed here was chosen on leakbench's half 0 with several
seeds, as the defaults of the settings were: see docs/districts.md for what other choices give.
"""

from __future__ import annotations

from metering.district_settings import HOURS_A_DAY, MAX_WINDOW_H, DistrictSettings, numbers_of

from .level_shifts import Rules

NIGHT_HOURS = (2, 3, 4)
"""Local; the median of the inflow then is the night flow, as in the table of days."""
WARM_DAYS = 21
"""From which the first habits of an inflow come; what is usual comes from the days after that which are looked at."""


def balance_rules(settings: DistrictSettings) -> Rules:
    """Customers' use is taken out, so that every hour counts and hours suffice."""
    return Rules(
        windows_h=numbers_of(settings.balance_windows_h, 1, MAX_WINDOW_H),
        threshold=settings.balance_threshold,
        least_share=settings.balance_least_share,
        history_days=21,
        scale_days=28,
        warm_days=14,
        floor_share=0.005,
        clip=3.5,
    )


def inflow_rules(settings: DistrictSettings) -> Rules:
    """Two days at least: what people use is many times what is measured wrong. Shares are of the night flow."""
    return Rules(
        windows_h=numbers_of(settings.inflow_windows_h, 1, MAX_WINDOW_H),
        threshold=settings.inflow_threshold,
        least_share=settings.inflow_least_share,
        hours_of_day=numbers_of(settings.inflow_hours, 0, HOURS_A_DAY - 1),
        level_hours=NIGHT_HOURS,
        scale_days=settings.days - WARM_DAYS,
        warm_days=WARM_DAYS,
        weighed=True,
        usual=(0.8, 1.2816),
        common=True,
    )
