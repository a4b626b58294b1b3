"""The kinds of alerts by which people choose; one that ends with ':' stands for all that begin with it. Pure."""

from __future__ import annotations

KINDS = (
    "leak", "continuous_flow", "burst", "flow_after_close", "district_leak", "reverse_flow", "stuck",
    "under_registering", "silent", "outage:", "meter_alarm:",
)  # fmt: skip
LOSING = frozenset({"leak", "continuous_flow", "burst", "flow_after_close", "district_leak"})
"""Of these, what loses most comes first."""
OF_ZONES = frozenset({"district_leak"})
"""Raised for a zone, not for a meter."""
SUPPRESSIBLE = tuple(kind for kind in KINDS if kind != "outage:")
"""Outages are the silence of many: who is silent by leave is in none."""
