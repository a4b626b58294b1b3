"""Waves of a firmware campaign, and when the next may go. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from metering.errors import ConflictError, RequestError

MAX_WAVES = 20
MAX_METERS = 100_000


class Tally(NamedTuple):
    """Commands of the waves that were sent out. `failed`: failed or refused by the meter."""

    open: int
    confirmed: int
    failed: int
    other: int
    """Expired or cancelled."""

    @property
    def ended(self) -> int:
        return self.confirmed + self.failed


def waves_of(serials: Sequence[str], sizes: Sequence[str]) -> list[list[str]]:
    """The meters of each wave. `sizes`: cumulative, numbers or shares ("10", "50", "25%"); what is left goes last.

    Who goes first is decided by the serial, so that no street is a wave. Raises RequestError.
    """
    if not 1 <= len(serials) <= MAX_METERS or len(set(serials)) < len(serials):
        raise RequestError(f"a campaign has 1 to {MAX_METERS} meters, each once")
    ends = [_size(size, len(serials)) for size in sizes]
    ends = [*[end for end in ends if end < len(serials)], len(serials)]
    if len(ends) > MAX_WAVES or any(b <= a for a, b in zip([0, *ends], ends, strict=False)):
        raise RequestError(f"waves grow, and there are at most {MAX_WAVES}")
    order = sorted(serials, key=lambda serial: (zlib.crc32(serial.encode()), serial))
    return [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _size(text: str, meters: int) -> int:
    number = text.removesuffix("%")
    if not number.isdecimal() or len(number) > 9:
        raise RequestError(f"a wave is a number or a share such as 10 or 25%, not {text!r}")
    return -(-int(number) * meters // 100) if text.endswith("%") else int(number)


def must_stop(tally: Tally, stop_share: float, stop_after: int) -> bool:
    """Whether too many of those that ended have failed."""
    return tally.failed >= stop_after and tally.failed > stop_share * tally.ended


def check_next(tally: Tally, wave: int, waves: int, stop_share: float, stop_after: int) -> None:
    """Raises ConflictError when the next wave may not go: too many failures, the wave before is not through, or there
    is none."""
    if must_stop(tally, stop_share, stop_after):
        raise ConflictError(f"{tally.failed} of {tally.ended} failed: the campaign stops here")
    if tally.open:
        raise ConflictError(f"{tally.open} meters of the wave before have not said how it went")
    if wave and not tally.confirmed:
        raise ConflictError("not one meter of the waves before has confirmed")
    if wave >= waves:
        raise ConflictError("every wave was sent out")
