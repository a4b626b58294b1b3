"""Whether a gateway's clock was behind when it took reports: then all its meters look ahead, and none is. Pure.

A report that is much older than the stream's message that holds it either waited in the gateway (in the spool of the
push doors, while the stream was away), or the gateway's clock is behind. The devices' clocks are the third witness:
where they lie after the receipt and not after the storing, they agree with the stream and not with the gateway. The
reports of one message were taken by one gateway, so most of those that say something decide for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from metering.model import EARLIEST_S

from .device_clock import TOLERANCE_S

SECOND_US = 1_000_000


class Witness(NamedTuple):
    """One report of a message."""

    received_us: int
    """By the gateway's clock."""
    clock_s: int | None
    """By the device's: when it sent, or the time of its newest reading."""
    sent_then: bool
    """It is surely the time of sending, not an earlier one."""


def is_delayed(newest_us: int, stored_us: int) -> bool:
    """Whether the newest receipt in a message is so much older than the message that something is to be explained."""
    return stored_us - newest_us > TOLERANCE_S * SECOND_US


def is_behind(witnesses: Iterable[Witness], newest_us: int, stored_us: int) -> bool:
    """Whether the clock of the gateway that took the reports of a message was behind, by the difference between
    `newest_us`, the newest of their receive times, and `stored_us`, when the stream took it. False: it is not known."""
    stored_s = stored_us // SECOND_US
    behind = 0
    for one in witnesses:
        if one.clock_s is None or one.clock_s < EARLIEST_S:
            continue
        if one.clock_s > one.received_us // SECOND_US + TOLERANCE_S:
            behind += one.clock_s <= stored_s + TOLERANCE_S
        elif one.sent_then:
            behind -= 1
    return is_delayed(newest_us, stored_us) and behind > 0
