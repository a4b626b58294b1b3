"""From readings to consumption: a validated curve per meter, and its volume between any two instants. Pure, vectorised.

`curve` validates, `amendments` lays people's corrections over readings, `gaps` spreads long gaps by habit, `volumes`
reads hours and days off the curve, `sizes` has the parameters by meter size. docs/consumption.md explains each rule.
"""

from .amendments import NO_AMENDMENTS, VOID, Amendments, amended
from .curve import (
    EXCLUDED,
    HOUR_S,
    MARGIN,
    MAX_GAP_S,
    MAX_SPREAD_S,
    Q4_PER_Q3_MILLI,
    REACH,
    Bools,
    Curve,
    Flag,
    Ints,
    Limits,
    Readings,
    curve_of,
    keys_of,
    ordered,
    reasons,
    validated,
)
from .gaps import PROFILE_S, Gaps, filled, filled_alone, long_gaps, profiles
from .sizes import BySize, Rules, by_size, parse_by_size, stuck
from .volumes import QUALITIES, Intervals, between, day_number, day_of, days, hours, midnights, segments_of

__all__ = [
    "EXCLUDED", "HOUR_S", "MARGIN", "MAX_GAP_S", "MAX_SPREAD_S", "NO_AMENDMENTS", "PROFILE_S", "Q4_PER_Q3_MILLI",
    "QUALITIES", "REACH", "VOID", "Amendments", "Bools", "BySize", "Curve", "Flag", "Gaps", "Intervals", "Ints",
    "Limits", "Readings", "Rules", "amended", "between", "by_size", "curve_of", "day_number", "day_of", "days",
    "filled", "filled_alone", "hours", "keys_of", "long_gaps", "midnights", "ordered", "parse_by_size", "profiles",
    "reasons", "segments_of", "stuck", "validated",
]  # fmt: skip
