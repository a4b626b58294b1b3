"""What counts as a burst on a main: the rules for a balance and for an inflow alone. Pure.

What a utility would change comes from its settings; what is fixed here was chosen on leakbench's half 0 with several
seeds, as the defaults of the settings were: see docs/districts.md for what other choices give.
"""

from __future__ import annotations

from metering.district_settings import HOURS_A_DAY, MAX_WINDOW_H, DistrictSettings, numbers_of

from .level_shifts import Rules


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
    """Only the night tells, and two nights at least: what people use at night is many times what is measured wrong."""
    return Rules(
        windows_h=numbers_of(settings.inflow_windows_h, 1, MAX_WINDOW_H),
        threshold=settings.inflow_threshold,
        least_share=settings.inflow_least_share,
        hours_of_day=numbers_of(settings.inflow_hours, 0, HOURS_A_DAY - 1),
        usual=(0.8, 1.2816),
        weekly_quantile=settings.inflow_weekly_quantile,
        common=True,
    )
