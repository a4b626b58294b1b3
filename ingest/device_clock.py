"""Readings of devices whose clock is wrong, put where they belong by the time of receipt. Pure.

Certain from one report alone are two cases. A clock that was never set: every time in the report lies before any meter
of this kind was built. A clock that runs ahead: the device says it sends in the future. Then the difference between
receipt and the device's own clock is the estimate of its error, and all times of the report move by it.

A clock that is behind looks in one report like one that waited, on the device or in the network, and after every outage
many do. The two part over days: a wait ends, and differs each time; a clock stays behind by the same. So the least
lateness of each of the last days counts (`behind_s`), and only where the device says when it sends and nobody stands
between it and us. That depends on the report, the earlier ones of its device and their stored receive times alone, so
that replay changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metering.model import EARLIEST_S, DecodedReport, Door

TOLERANCE_S = 300
"""Clocks that are so little wrong are right enough for hourly readings."""

OLDEST_S = 40 * 86_400
"""The newest reading of a report is no older than that by the device's clock, or another clock stamped it."""

DAY_S = 86_400
DAYS = 7
"""Days with reports that count, the report's own included; so long a clock that fell behind stays unnoticed."""
LOOK_BACK_S = 14 * DAY_S
"""Earlier ones tell nothing of today's clock."""
ALIKE = 4
"""So many of those days must be as late as the least late of them, TOLERANCE_S more at most."""
STEP_S = 300
"""Clocks that are behind are corrected in whole steps: else each report of a clock that drifts by a second would store
the readings it shares with the one before under other times."""

SAYS_WHEN_IT_SENDS = frozenset({"native_cbor", "native_json", "lwm2m"})
"""Decoders whose device time is the instant of sending. In other formats it is that of the newest reading, and hours
may lie between by design."""
FORWARDED = frozenset({Door.CTWING, Door.IOTDA})
"""Doors behind which a platform may hold reports back, always for as long."""


class Correction(NamedTuple):
    offset_s: int
    """To be added to the device's times."""
    why: str
    """'never_set', 'ahead' or 'behind'."""


def lateness_s(content: DecodedReport, decoder: str, door: str, received_s: int) -> int | None:
    """How long after it was sent, by the device's clock, the report came; None: nothing certain is said."""
    sent_s = content.state.device_time_s
    if sent_s is None or sent_s < EARLIEST_S or decoder not in SAYS_WHEN_IT_SENDS or door in FORWARDED:
        return None
    return received_s - sent_s


def behind_s(own_s: int, earlier_s: Sequence[int]) -> int:
    """How far a clock is behind whose report came `own_s` late, in whole steps; 0: not known to be.

    `earlier_s`: the least lateness of each earlier day that had reports, the newest first.
    """
    days = [own_s, *earlier_s[: DAYS - 1]]
    least = min(days)
    alike = sum(late <= least + TOLERANCE_S for late in days)
    return least // STEP_S * STEP_S if least > TOLERANCE_S and alike >= ALIKE else 0


def correction(
    content: DecodedReport, last_s: int, received_s: int, late_s: int | None = None, earlier_s: Sequence[int] = ()
) -> Correction | None:
    """What to add to the times of a report whose newest reading is of `last_s`; None: its clock is not known to be
    wrong. `late_s`, `earlier_s`: as of `lateness_s` and `behind_s`."""
    clock_s = content.state.device_time_s
    if last_s < EARLIEST_S and (clock_s is None or clock_s < EARLIEST_S):
        newest_s = last_s if clock_s is None else max(clock_s, last_s)
        return Correction(received_s - newest_s, "never_set")
    if clock_s is None or clock_s - last_s > OLDEST_S:
        return None
    if clock_s > received_s + TOLERANCE_S:
        return Correction(received_s - clock_s, "ahead")
    by_s = 0 if late_s is None or last_s > clock_s else behind_s(late_s, earlier_s)
    return Correction(by_s, "behind") if by_s else None


def corrected(content: DecodedReport, found: Correction) -> DecodedReport:
    """With all times moved, and a note of it beside what the device said."""
    times: Sequence[int] = [ts_s + found.offset_s for ts_s in content.ts_s]
    note = {"clock_offset_s": found.offset_s, "clock": found.why}
    return content._replace(ts_s=times, extra={**content.extra, **note})
