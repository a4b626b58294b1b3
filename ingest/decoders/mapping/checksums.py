"""Checksums that meters' frames end with, by the name a mapping file calls them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import xor
from typing import Final


def _sum8(data: bytes) -> int:
    return sum(data) & 0xFF


def _xor8(data: bytes) -> int:
    return reduce(xor, data, 0)


def _sum16(data: bytes) -> int:
    return sum(data) & 0xFFFF


def _crc16_low_first(data: bytes) -> int:
    """Polynomial 8005 mirrored, begins with FFFF (Modbus)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def _crc16_ccitt(first: int) -> Callable[[bytes], int]:
    """Polynomial 1021, highest bit first."""

    def crc16(data: bytes) -> int:
        crc = first
        for byte in data:
            crc ^= byte << 8
            for _ in range(8):
                crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1 & 0xFFFF
        return crc

    return crc16


CHECKSUMS: Final[dict[str, tuple[Callable[[bytes], int], int]]] = {
    "sum8": (_sum8, 1),
    "xor8": (_xor8, 1),
    "sum16": (_sum16, 2),
    "crc16_modbus": (_crc16_low_first, 2),
    "crc16_ccitt_false": (_crc16_ccitt(0xFFFF), 2),
    "crc16_xmodem": (_crc16_ccitt(0), 2),
}
"""The function and how many bytes its result has."""
