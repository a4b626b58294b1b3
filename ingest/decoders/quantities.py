"""Numbers as meters and platforms write them, turned into the platform's integers without losing what they said.

A float stands for the shortest decimal that names it: 123.456 sent as 32 bits is 123.456, not 123.45600128. Products
are computed in decimal, so that a litre is a litre.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final

import numpy as np

MAX_DIGITS: Final = 40
"""Of a number as text or of an integer; more is no measurement."""
_LARGEST: Final = Decimal(10) ** 20


def single(value: float) -> float:
    """What a sender meant whose number went through a 32-bit float."""
    return float(str(np.float32(value)))


def decimal(value: Any) -> Decimal | None:
    """The number in an int, a float or a text; None for everything else, for no number and for one beyond 10^20."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, int):
        return Decimal(value) if -(10**20) <= value <= 10**20 else None
    text = repr(value) if isinstance(value, float) else value.strip()
    if not 0 < len(text) <= MAX_DIGITS or "_" in text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) <= _LARGEST else None


def scaled(value: Any, factor: Decimal | int) -> int | None:
    """`value` times `factor`, rounded half to even; None for no number."""
    number = decimal(value)
    return None if number is None else int((number * factor).to_integral_value(ROUND_HALF_EVEN))


def within(value: int | None, least: int, greatest: int) -> int | None:
    """The value, or None when it cannot be true."""
    return value if value is not None and least <= value <= greatest else None
