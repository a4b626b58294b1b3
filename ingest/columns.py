"""Columns of a query's result as arrays: each comes as one binary string, ``string_agg`` of what its type sends."""

from __future__ import annotations

from typing import Any

import numpy as np

from metering.consumption import Ints

US = 1_000_000
_EPOCH_S = 946_684_800
"""2000-01-01: PostgreSQL counts microseconds from there."""


async def columns(connection: Any, query: str, *arguments: Any) -> list[Ints]:
    """Of a query of one row, whose columns are strings of 64-bit numbers; NULL is none."""
    row = await connection.fetchrow(query, *arguments)
    return [np.frombuffer(column or b"", ">i8").astype(np.int64) for column in row]


def unix_s(us: Ints) -> Ints:
    """Of times as PostgreSQL sends them."""
    return us // US + _EPOCH_S
