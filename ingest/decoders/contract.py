"""What a decoder is, and the bounds that every format shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from metering.model import DecodedReport

MAX_READINGS = 5_000
"""Readings of one report: a month of 10-minute values and some; more is no meter."""

MAX_INDEX_ML = 10**16
"""10 million m³: beyond every register, far inside int64 so that differences cannot overflow."""


MAX_EXTRA_HEX = 1_024
"""Bytes of a payload that is kept raw in ``extra``."""

Read = tuple[str, DecodedReport]
"""The decoder that read a payload, and what it says."""

Inner = Callable[[bytes, int], Read]
"""Reads a meter's own frame that another format carries; raises DecodeError only."""


class Decoder(NamedTuple):
    """`recognises` is cheap and never raises; `decode` raises DecodeError only."""

    name: str
    recognises: Callable[[bytes], bool]
    decode: Callable[[bytes, int], DecodedReport]


def anything(_payload: bytes) -> bool:
    """For the last decoder of a Content-Format: whatever is left is its to refuse."""
    return True
