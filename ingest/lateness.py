"""How late the reports of a device came on the days before: what parts a clock that is behind from a late report.

Asked only for reports that seem late, which few are: one statement a batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .classify import Decoded
from .device_clock import DAY_S, FORWARDED, LOOK_BACK_S, SAYS_WHEN_IT_SENDS, TOLERANCE_S, lateness_s
from .installations import Installations

Earlier = Mapping[bytes, Sequence[int]]
"""By report id: the least lateness of each earlier day that had reports, in seconds, the newest first. Without an
entry: the report does not seem late."""

_BY_DAY = """
SELECT device, floor(extract(epoch FROM received_at) / $5)::bigint AS day,
       min(floor(extract(epoch FROM received_at)) - extract(epoch FROM device_time))::bigint AS late_s
FROM reports
WHERE meter_id = ANY ($1::bigint[]) AND received_at >= $2 AND received_at < $3 AND device_time IS NOT NULL
  AND decoder = ANY ($4::text[]) AND door <> ALL ($6::text[])
GROUP BY 1, 2
"""


class _Late(NamedTuple):
    report_id: bytes
    device: str
    received_s: int
    late_s: int


async def earlier_lateness(connection: Any, decoded: Sequence[Decoded], known: Installations) -> Earlier:
    """Of the reports that seem late; others of the same batch count as those that are stored already."""
    if not any((_late_s(step) or 0) > TOLERANCE_S for step in decoded):
        return {}
    said = [late for step in decoded if (late := _lateness(step, known)) is not None]
    asked = [late for late in said if late.late_s > TOLERANCE_S]
    least = await _stored(connection, asked, known)
    for late in said:
        day = late.received_s // DAY_S
        days = least[late.device]
        days[day] = min(late.late_s, days.get(day, late.late_s))
    return {late.report_id: _before(least[late.device], late.received_s // DAY_S) for late in asked}


def _lateness(step: Decoded, known: Installations) -> _Late | None:
    late_s, device = _late_s(step), known.get(step.report.device)
    if late_s is None or device is None:
        return None
    return _Late(step.report.report_id, device.name, step.report.received_at_us // 1_000_000, late_s)


def _late_s(step: Decoded) -> int | None:
    report = step.report
    return lateness_s(step.content, step.decoder, report.door, report.received_at_us // 1_000_000)


async def _stored(connection: Any, asked: Sequence[_Late], known: Installations) -> dict[str, dict[int, int]]:
    """By device and day (whole days UTC since 1970)."""
    meters = set()
    for late in asked:
        device = known.get(late.device)
        meters |= {installed.meter_id for installed in device.installations} if device else set()
    times = [late.received_s for late in asked]
    first_day = (min(times) - LOOK_BACK_S) // DAY_S
    bounds = [datetime.fromtimestamp(day * DAY_S, UTC) for day in (first_day, max(times) // DAY_S)]
    rows = await connection.fetch(
        _BY_DAY, sorted(meters), *bounds, sorted(SAYS_WHEN_IT_SENDS), DAY_S, sorted(map(str, FORWARDED))
    )
    least: dict[str, dict[int, int]] = defaultdict(dict)
    for row in rows:
        least[row["device"]][row["day"]] = row["late_s"]
    return least


def _before(days: Mapping[int, int], day: int) -> list[int]:
    first = day - LOOK_BACK_S // DAY_S
    return [days[number] for number in sorted(days, reverse=True) if first <= number < day]
