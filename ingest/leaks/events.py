"""What the detector says of a meter at an hour."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Of a fault; as alerts are named."""

    LEAK = "leak"
    BURST = "burst"
    REVERSE = "reverse_flow"
    STUCK = "stuck"
    UNDER = "under_registering"


class Phase(StrEnum):
    """How sure the platform is of a fault."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    CLEARED = "cleared"


class Event(NamedTuple):
    """A fault is raised, confirmed or over. Hours are counted as in `habits.STATE`."""

    meter: int
    """Position among the states."""
    kind: Kind
    phase: Phase
    at_h: int
    """The hour by whose end it could be known."""
    began_h: int
    rate_l_h: float | None
    interval_l_h: tuple[float, float] | None
    test: int
    """Position in `habits.TESTS` of what found a leak; -1 of other kinds."""
    certainty: float
    """Evidence in terms of what was needed; 0 when over."""
