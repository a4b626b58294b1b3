"""Which daily reports of a town's past days got through, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from simulators.local_time import DAY_S, UTC_OFFSET_S
from simulators.meter import Meter, Quirk
from simulators.outages import back_at, flush_s
from simulators.water.calendar import EPOCH_S

SILENT_FOR_S = 3 * DAY_S
NEVER_S = 2**62


def due_of_day(meter: Meter, day: int) -> int:
    """When the daily report of a local day (counted from 1970-01-01) is due."""
    return day * DAY_S - UTC_OFFSET_S + meter.report_second


class Sent(NamedTuple):
    """A daily report: when it was due, and when it got through."""

    arrives_s: int
    due_s: int
    meter: Meter


def history(meters: Sequence[Meter], days: int, now_s: int) -> list[Sent]:
    """Each meter's daily reports of the last `days` days that got through, in that order. Silent meters stopped early;
    what was due in an outage of the cell came after it, or never."""
    today = (now_s + UTC_OFFSET_S) // DAY_S
    first = max(today - days, (EPOCH_S + UTC_OFFSET_S) // DAY_S + 1)
    dues = ((due_of_day(meter, day), meter) for day in range(first, today + 1) for meter in meters)
    sent = [
        Sent(_arrives_s(meter, due_s), due_s, meter)
        for due_s, meter in dues
        if now_s - days * DAY_S <= due_s <= now_s - (SILENT_FOR_S if meter.silent else 0)
    ]
    return sorted((one for one in sent if one.arrives_s <= now_s), key=lambda one: one[:2])


def _arrives_s(meter: Meter, due_s: int) -> int:
    back_s = back_at(meter.seed, meter.radio.cell_id, due_s)
    if back_s is None:
        return due_s
    return NEVER_S if meter.quirk is Quirk.FORGETS else back_s + flush_s(meter.number)
