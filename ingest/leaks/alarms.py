"""Alarm flags that meters raise themselves, as alerts of kind ``meter_alarm:<name>``."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from metering.alarms import Alarm, names

from . import alerts

KIND = "meter_alarm:"
NOT_A_FAULT_OF_WATER = Alarm.BATTERY_LOW | Alarm.CLOCK_LOST | Alarm.STORAGE_FAULT
URGENT = Alarm.BURST | Alarm.DISMANTLED


class AlarmEvent(NamedTuple):
    """What one report says of its meter's alarms."""

    meter_id: int
    report_id: bytes
    received_at_s: int
    alarms: int
    """Bits of `metering.alarms.Alarm`; 0 says that all are over."""


async def record_alarms(connection: asyncpg.Connection, events: Sequence[AlarmEvent]) -> None:
    """Raises, updates and ends the alarm alerts of the meters named, inside the caller's transaction.

    Wanted are the reports with alarms, and those without of meters that may have one active (whose `device_latest`
    had alarms). The newest report of a meter decides; one older than what an alert has seen changes nothing.
    """
    by_meter: dict[int, list[AlarmEvent]] = defaultdict(list)
    for event in events:
        by_meter[event.meter_id].append(event)
    findings: list[alerts.Finding] = []
    ended: list[alerts.Ended] = []
    for meter_events in by_meter.values():
        meter_events.sort(key=lambda event: (event.received_at_s, event.report_id))
        findings += _findings(meter_events)
        newest = meter_events[-1]
        gone = [alarm for alarm in Alarm if not newest.alarms & alarm]
        ended += [alerts.Ended(newest.meter_id, _kind(alarm), newest.received_at_s) for alarm in gone]
    await alerts.raise_or_update(connection, findings)
    await alerts.end(connection, ended)


def _findings(meter_events: Sequence[AlarmEvent]) -> list[alerts.Finding]:
    """One finding per alarm in the events of one meter, which are in order of time."""
    findings = []
    for alarm in Alarm:
        raising = [event for event in meter_events if event.alarms & alarm]
        if not raising:
            continue
        first, last = raising[0], raising[-1]
        evidence = {
            "alarm": names(alarm)[0],
            "bit": alarm.bit_length() - 1,
            "report_id": str(uuid.UUID(bytes=last.report_id)),
            "reported_at": alerts.instant(last.received_at_s).isoformat(),
        }
        since_s, seen_s = first.received_at_s, last.received_at_s
        findings.append(
            alerts.Finding(
                last.meter_id, _kind(alarm), _severity(alarm), since_s, seen_s, since_s, seen_s, None, evidence
            )
        )
    return findings


def _kind(alarm: Alarm) -> str:
    return KIND + names(alarm)[0]


def _severity(alarm: Alarm) -> str:
    if alarm & URGENT:
        return "critical"
    return "info" if alarm & NOT_A_FAULT_OF_WATER else "warning"
