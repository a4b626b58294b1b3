"""Profiles of meter makers on CTWing and Huawei, as seen in public code (PROTOCOLS C).

Junxiang: `SystemCmdRawData` with `MeterData`; volumes in m³, times Beijing's. Suntront (新天): `WaterMeter`, `Battery`,
`WaterMeterAlarm`; volumes in litres, half-hourly flows. The larger `WaterMeter` with ``cumulativeFlow`` and
``flowIntervral`` (汇中's spelling) has m³.

Flows are differences, not indices. They become readings only where the same report says an index at their end.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from metering.alarms import Alarm
from metering.model import DecodedReport, DeviceState, ReadingKind, Valve

from ..instants import plausible_s
from ..quantities import scaled, within
from ..readings import backwards, checked, checked_index
from . import radio

LITRE_ML: Final = 1_000
CUBIC_METRE_ML: Final = 1_000_000
HALF_HOUR_S: Final = 1_800
HOUR_S: Final = 3_600
MAX_FLOW_ML_H: Final = 4_000_000
"""Q3 of DN20: the step from the last hourly index to the current one must fit under it, or those are no indices."""
MAX_PRESSURE_MPA: Final = 25
END_TOLERANCE_S: Final = 60

ALARMS: Final[Mapping[str, Alarm]] = {
    "highFlowAlarm": Alarm.OVER_RANGE_FLOW,
    "lowBatteryAlarm": Alarm.BATTERY_LOW,
    "lowBatteryWarning": Alarm.BATTERY_LOW,
    "batteryRunOutAlarm": Alarm.BATTERY_LOW,
    "leaking": Alarm.LEAK,
    "leakAlarm": Alarm.LEAK,
    "networkLeak": Alarm.LEAK,
    "pipeBurst": Alarm.BURST,
    "reverseFlow": Alarm.REVERSE_FLOW,
    "reverseFlowAlarm": Alarm.REVERSE_FLOW,
    "emptyPipe": Alarm.EMPTY_PIPE,
    "dismantlingAlarm": Alarm.DISMANTLED,
    "magneticInterference": Alarm.MAGNETIC_TAMPER,
    "tamperAlarm": Alarm.MAGNETIC_TAMPER,
    "storageFault": Alarm.STORAGE_FAULT,
    "valveActionAlarm": Alarm.VALVE_FAULT,
}
"""Names of flags in alarm services."""


def junxiang(data: Mapping[str, Any], received_at_s: int) -> DecodedReport:
    """`MeterData`. Raises DecodeError [time_range], [index_range]."""
    index_ml = scaled(data.get("amount"), CUBIC_METRE_ML)
    read_s = plausible_s(data.get("readTime"), received_at_s)
    pairs = _hourly(data.get("items"), index_ml, read_s, received_at_s)
    if index_ml is not None and read_s is not None:
        pairs.append((read_s, index_ml))
    ts_s, indices, kind = checked(pairs, received_at_s)
    code = data.get("meterCode")
    return DecodedReport(
        radio.state(data)._replace(
            valve=_valve(data), alarms=_junxiang_alarms(data), device_time_s=read_s,
            pressure_kpa=_pressure_kpa(data.get("pressure")),
        ),
        ts_s, indices, kind, None, checked_index(index_ml) if not ts_s else None,
        code if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= 20 else None,
        {"csq": data["signal"]} if type(data.get("signal")) is int else {},
    )  # fmt: skip


def _hourly(items: Any, index_ml: int | None, read_s: int | None, received_at_s: int) -> list[tuple[int, int]]:
    """Hourly indices before the current one; none where the numbers cannot be indices of the same register."""
    if not isinstance(items, list) or not items or index_ml is None or read_s is None:
        return []
    pairs: list[tuple[int, int]] = []
    for item in items:
        ts_s = plausible_s(item.get("time"), received_at_s) if isinstance(item, dict) else None
        amount_ml = scaled(item.get("amount"), CUBIC_METRE_ML) if isinstance(item, dict) else None
        if ts_s is None or amount_ml is None:
            return []
        pairs.append((ts_s, amount_ml))
    pairs.sort()
    since_s = max(read_s - pairs[-1][0], HOUR_S)
    passed_ml = index_ml - pairs[-1][1]
    rising = all(before[1] <= after[1] for before, after in itertools.pairwise(pairs))
    possible = rising and pairs[-1][0] <= read_s and 0 <= passed_ml * HOUR_S <= MAX_FLOW_ML_H * since_s
    return [pair for pair in pairs if pair[0] != read_s] if possible else []


def _valve(data: Mapping[str, Any]) -> Valve | None:
    return {1: Valve.OPEN, 0: Valve.CLOSED}.get(data["valveStatus"]) if type(data.get("valveStatus")) is int else None


def _junxiang_alarms(data: Mapping[str, Any]) -> int:
    magnetic = Alarm.MAGNETIC_TAMPER if _is_set(data.get("magneticStatus")) else 0
    return int(magnetic | (Alarm.BATTERY_LOW if _is_set(data.get("batteryStatus")) else 0))


def _pressure_kpa(value: Any) -> int | None:
    return within(scaled(value, 1_000), 0, MAX_PRESSURE_MPA * 1_000)


def water_meter(data: Mapping[str, Any], received_at_s: int) -> DecodedReport:
    """`WaterMeter` of both makers. Raises DecodeError [index_range], [time_range], [too_many_readings]."""
    unit_ml = CUBIC_METRE_ML if "flowIntervral" in data or "cumulativeWorkTime" in data else LITRE_ML
    index_ml = next(
        (
            scaled(data[name], unit_ml)
            for name in ("positiveCumulativeFlow", "cumulativeFlow")
            if data.get(name) is not None
        ),
        None,
    )
    read_s = plausible_s(data.get("timeOfReading"), received_at_s)
    pairs: list[tuple[int, int]] = []
    if index_ml is not None and read_s is not None:
        pairs = _led_up_to(data, unit_ml, read_s, index_ml, received_at_s) or [(read_s, index_ml)]
    ts_s, indices, kind = checked(pairs, received_at_s)
    node = data.get("rawDataNode")
    return DecodedReport(
        radio.state({**(node if isinstance(node, dict) else {}), **data})._replace(device_time_s=read_s), ts_s, indices,
        kind, None, checked_index(index_ml) if not ts_s else None, None,
        {"csq": data["csq"]} if type(data.get("csq")) is int else {},
    )  # fmt: skip


def _led_up_to(
    data: Mapping[str, Any], unit_ml: int, read_s: int, index_ml: int, received_at_s: int
) -> list[tuple[int, int]]:
    """Readings derived backwards from the index through flows that end where it was read; empty where they do not."""
    start_s = plausible_s(data.get("intervalFlowStartingTime"), received_at_s)
    flows = flows_ml(data.get("intervalFlow"), unit_ml)
    if start_s is None or not flows or abs(start_s + HALF_HOUR_S * len(flows) - read_s) > END_TOLERANCE_S:
        return []
    pairs = backwards(start_s + HALF_HOUR_S * len(flows), index_ml, HALF_HOUR_S, flows)
    return pairs if pairs[0][1] >= 0 and pairs[0][0] == start_s else []


def flows_ml(flows: Any, unit_ml: int) -> list[int]:
    """Millilitres of each interval; empty where one of them is no number."""
    if not isinstance(flows, Sequence) or isinstance(flows, str) or len(flows) > 2_000:
        return []
    numbers = [scaled(flow, unit_ml) for flow in flows]
    known = [number for number in numbers if number is not None and number >= 0]
    return known if len(known) == len(numbers) else []


def alarm_flags(data: Mapping[str, Any]) -> DecodedReport:
    """A service of named flags, or of one alarm by its name and status."""
    flags = {name: alarm for name, alarm in ALARMS.items() if _is_set(data.get(name))}
    if isinstance(name := data.get("alarmName"), str) and _is_set(data.get("status")) and name in ALARMS:
        flags[name] = ALARMS[name]
    alarms = 0
    for alarm in flags.values():
        alarms |= int(alarm)
    return DecodedReport(DeviceState(alarms=alarms), [], [], ReadingKind.EVENT)


def _is_set(value: Any) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in ("1", "true"))
