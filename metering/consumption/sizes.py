"""Parameters of the rules by meter size, and the rules over whole days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .curve import HOUR_S, Bools, Ints

BySize = tuple[tuple[int, int], ...]
"""Pairs of nominal diameter (mm) and value, which holds from that diameter on; sorted."""


class Rules(NamedTuple):
    """What a utility sets."""

    bridge_h: BySize = ((0, 6), (50, 3))
    """Gaps up to so many hours are interpolated evenly; longer ones are estimated by the meter's own profile."""
    stuck_days: BySize = ((0, 30), (50, 7))
    """So many days in a row without any water make a register that stands still remarkable."""

    settlement_day: int = 0
    """Day of the month at whose begin meters freeze their own settlement index; 0: not compared."""

    def bridge_s(self, dn_mm: Ints) -> Ints:
        return by_size(self.bridge_h, dn_mm) * HOUR_S


def by_size(table: BySize, dn_mm: Ints) -> Ints:
    """The value for each meter; below the least diameter the first."""
    diameters, values = np.array(table, np.int64).T
    found: Ints = values[np.maximum(np.searchsorted(diameters, dn_mm, "right") - 1, 0)]
    return found


def parse_by_size(text: str) -> BySize:
    """`0=6, 50=3`. Raises ValueError."""
    pairs = [part.split("=") for part in text.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{text!r} is not like `0=6, 50=3`")
    table = tuple(sorted((int(diameter), int(value)) for diameter, value in pairs))
    if any(diameter < 0 or value <= 0 for diameter, value in table) or len({pair[0] for pair in table}) < len(table):
        raise ValueError(f"{text!r}: diameters are given once each, values are positive")
    return table


def stuck(consumption_ml: Sequence[int], complete: Sequence[bool], days: int) -> Bools:
    """Which of neighbouring local days lie in a run of `days` or more complete ones without any water."""
    still = np.array([not volume and whole for volume, whole in zip(consumption_ml, complete, strict=True)], np.bool_)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], still.astype(np.int8), [0]))))
    found = np.zeros(len(still), np.bool_)
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        found[start:end] = end - start >= days
    return found
