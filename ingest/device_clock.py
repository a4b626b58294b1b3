"""Readings of devices whose clock is certainly wrong, put where they belong by the time of receipt. Pure.

Certain are two cases. A clock that was never set: every time in the report lies before any meter of this kind was
built. A clock that runs ahead: the device says it sends in the future. Then the difference between receipt and the
device's own clock is the estimate of its error, and all times of the report move by it. It depends on the report and
its stored receive time alone, so order of arrival and replay change nothing.

A clock that seems behind is left alone: a report that waited for hours, on the device or in the network, looks the
same, and after every outage many do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metering.model import EARLIEST_S, DecodedReport

TOLERANCE_S = 300
"""Clocks that are so little ahead are right enough for hourly readings."""

OLDEST_S = 40 * 86_400
"""The newest reading of a report is no older than that by the device's clock, or another clock stamped it."""


class Correction(NamedTuple):
    offset_s: int
    """To be added to the device's times."""
    why: str
    """'never_set' or 'ahead'."""


def correction(content: DecodedReport, last_s: int, received_s: int) -> Correction | None:
    """What to add to the times of a report whose newest reading is of `last_s`; None: its clock is not known to be
    wrong."""
    clock_s = content.state.device_time_s
    if last_s < EARLIEST_S and (clock_s is None or clock_s < EARLIEST_S):
        newest_s = last_s if clock_s is None else max(clock_s, last_s)
        return Correction(received_s - newest_s, "never_set")
    if clock_s is not None and clock_s > received_s + TOLERANCE_S and clock_s - last_s <= OLDEST_S:
        return Correction(received_s - clock_s, "ahead")
    return None


def corrected(content: DecodedReport, found: Correction) -> DecodedReport:
    """With all times moved, and a note of it beside what the device said."""
    times: Sequence[int] = [ts_s + found.offset_s for ts_s in content.ts_s]
    note = {"clock_offset_s": found.offset_s, "clock": found.why}
    return content._replace(ts_s=times, extra={**content.extra, **note})
