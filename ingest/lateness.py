"""How late the reports of a device came on the days before: what parts a clock that is behind from a late report.

Asked only for reports that seem late. After an outage that is every report, so the question is put per device and day,
and each costs a bounded number of rows: first the newest report of the days before, which settles it where that came
live; for the others the newest of each of the last days; and only where none of these came live the newest few of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .classify import Decoded
from .device_clock import DAY_S, FORWARDED, LOOK_BACK_S, SAYS_WHEN_IT_SENDS, TOLERANCE_S, lateness_s
from .installations import Device, Installations

MAX_OF_DAY = 6
"""So many reports of an earlier day count, the newest: a clock is behind in each of them."""

Earlier = Mapping[bytes, Sequence[int]]
"""By report id: the least lateness of each earlier day that had reports, in seconds, the newest first. Without an
entry: the report does not seem late. Where one of the last days had a live report, others may be missing: they change
nothing."""

_STORED = """
SELECT asked.device, asked.day, report_id, received_us, late_s
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked (device, meter_id, day)
{days}
CROSS JOIN LATERAL (
    SELECT report_id, (extract(epoch FROM received_at) * 1000000)::bigint AS received_us,
           (floor(extract(epoch FROM received_at)) - extract(epoch FROM device_time))::bigint AS late_s
    FROM reports
    WHERE meter_id = asked.meter_id AND device = asked.device
      AND received_at >= to_timestamp({since} * $7::bigint) AND received_at < to_timestamp({until} * $7::bigint)
      AND received_at >= $4 AND received_at < $5  -- bounds that the planner sees
      AND device_time IS NOT NULL AND decoder = ANY ($6::text[]) AND door <> ALL ($8::text[])
    ORDER BY received_at DESC, report_id DESC LIMIT {limit}
) found"""
_LOOK_BACK_DAYS = LOOK_BACK_S // DAY_S
_NEWEST = _STORED.format(days="", since=f"(day - {_LOOK_BACK_DAYS})", until="day", limit=1)


def _of_days(days: int, limit: int) -> str:
    before = f"CROSS JOIN generate_series(1, {days}) AS back"
    return _STORED.format(days=before, since="(day - back)", until="(day - back + 1)", limit=limit)


LAST_DAYS = 3
"""An outage is over within so many days, mostly. At most DAYS - 1: each of them counts."""
_FURTHER = (_of_days(LAST_DAYS, 1), _of_days(_LOOK_BACK_DAYS, MAX_OF_DAY))

_Asked = tuple[str, int]
"""A device, and the day (whole days UTC since 1970) on which it seems late."""


class _Late(NamedTuple):
    """In order of receipt."""

    received_us: int
    report_id: bytes
    device: str
    late_s: int

    @property
    def day(self) -> int:
        return self.received_us // 1_000_000 // DAY_S


async def earlier_lateness(connection: Any, decoded: Sequence[Decoded], known: Installations) -> Earlier:
    """Of the reports that seem late; others of the same batch count as those that are stored already.

    Reads one row for each device and day that is asked for, LAST_DAYS where that one is late too, and MAX_OF_DAY of
    each day of LOOK_BACK_S where all of these are; as often for each meter that the device ever read.
    """
    if not any((_late_s(step) or 0) > TOLERANCE_S for step in decoded):
        return {}
    devices = {device.name: device for step in decoded if (device := known.get(step.report.device))}
    said = [late for step in decoded if (late := _lateness(step, known)) is not None]
    seem_late = [late for late in said if late.late_s > TOLERANCE_S]
    asked = {(late.device, late.day) for late in seem_late}
    of_device: dict[str, set[_Late]] = defaultdict(set)
    for late in said + await _stored(connection, asked, devices):
        of_device[late.device].add(late)
    earlier = {(device, day): _before(of_device[device], day) for device, day in asked}
    return {late.report_id: earlier[late.device, late.day] for late in seem_late}


def _lateness(step: Decoded, known: Installations) -> _Late | None:
    late_s, device = _late_s(step), known.get(step.report.device)
    if late_s is None or device is None:
        return None
    return _Late(step.report.received_at_us, step.report.report_id, device.name, late_s)


def _late_s(step: Decoded) -> int | None:
    report = step.report
    return lateness_s(step.content, step.decoder, report.door, report.received_at_us // 1_000_000)


async def _stored(connection: Any, asked: set[_Asked], devices: Mapping[str, Device]) -> list[_Late]:
    """All that can change an answer: nothing that is older than a live report."""
    found = await _fetch(connection, _NEWEST, asked, devices)
    newest: dict[_Asked, _Late] = {}
    for question, late in found:
        newest[question] = max(late, newest.get(question, late))
    unsettled = {question for question, late in newest.items() if late.late_s > TOLERANCE_S}
    for sql in _FURTHER:
        further = await _fetch(connection, sql, unsettled, devices)
        unsettled -= {question for question, late in further if late.late_s <= TOLERANCE_S}
        found += further
    return [late for _, late in found]


async def _fetch(
    connection: Any, sql: str, asked: Collection[_Asked], devices: Mapping[str, Device]
) -> list[tuple[_Asked, _Late]]:
    rows = [
        (name, meter_id, day) for name, day in sorted(asked)
        for meter_id in sorted({installed.meter_id for installed in devices[name].installations})
    ]  # fmt: skip
    if not rows:
        return []
    columns = map(list, zip(*rows, strict=True))
    days = [day for _, day in asked]
    bounds = [datetime.fromtimestamp(day * DAY_S, UTC) for day in (min(days) - _LOOK_BACK_DAYS, max(days))]
    deciding = sorted(SAYS_WHEN_IT_SENDS), DAY_S, sorted(map(str, FORWARDED))
    return [
        ((device, day), _Late(received_us, report_id.bytes, device, late_s))
        for device, day, report_id, received_us, late_s in await connection.fetch(sql, *columns, *bounds, *deciding)
    ]


def _before(said: Collection[_Late], day: int) -> list[int]:
    """The least of the newest MAX_OF_DAY of each earlier day."""
    of_day: dict[int, list[int]] = defaultdict(list)
    for late in sorted(said, reverse=True):
        if day - _LOOK_BACK_DAYS <= late.day < day and len(of_day[late.day]) < MAX_OF_DAY:
            of_day[late.day].append(late.late_s)
    return [min(of_day[number]) for number in sorted(of_day, reverse=True)]
