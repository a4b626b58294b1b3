"""What counts as a burst on a main: the rules for a balance and for an inflow alone.

Chosen on leakbench's half 0 with several seeds, see docs/districts.md for what other choices give.
"""

from __future__ import annotations

from .level_shifts import Rules

BALANCE_RULES = Rules(
    windows_h=(3, 4, 6, 8, 12, 18, 24, 36, 48, 72),
    threshold=4.5,
    least_share=0.04,
    history_days=21,
    scale_days=28,
    warm_days=14,
    floor_share=0.005,
    clip=3.5,
)
"""Customers' use is taken out, so that every hour counts and hours suffice."""

INFLOW_RULES = Rules(
    windows_h=(48, 72, 96, 120, 168),
    threshold=2.5,
    least_share=0.12,
    hours_of_day=(0, 1, 2, 3, 4, 5),
    usual=(0.8, 1.2816),
    weekly_quantile=0.85,
    common=True,
)
"""Only the night tells, and two nights at least: what people use at night is many times what is measured wrong."""
