"""What the resources mean for the platform, as tables by object and resource (OMA registry).

What is in none of them is kept in ``extra["resources"]`` as it came.
"""

from __future__ import annotations

from typing import Final

from metering.alarms import Alarm

STATE: Final[dict[tuple[int, int], tuple[str, int, int, int]]] = {
    (3, 7): ("battery_mv", 1, 0, 65_535),
    (3411, 3): ("battery_mv", 1_000, 0, 65_535),
    (4, 2): ("rsrp_ddbm", 10, -2_000, 0),
    (4, 8): ("cell_id", 1, 0, 2**32 - 1),
    (4, 11): ("snr_ddb", 10, -1_000, 1_000),
    (3412, 18): ("snr_ddb", 10, -1_000, 1_000),
}
"""Field of the device's state, factor, least and greatest value that can be true. The first of a field goes before the
later ones."""

ALARMS: Final[dict[tuple[int, int], Alarm]] = {
    (3411, 6): Alarm.BATTERY_LOW,
    (3424, 9): Alarm.LEAK,
    (3424, 10): Alarm.LEAK,
    (3424, 11): Alarm.REVERSE_FLOW,
    (3424, 13): Alarm.MAGNETIC_TAMPER,
}
"""Flags that raise an alarm. Fraud has no bit of its own in PROTOCOLS G; 12, a blocked meter, has none at all and is
kept beside the report."""

ERROR_CODES: Final = {1: Alarm.BATTERY_LOW, 5: Alarm.STORAGE_FAULT}
"""Of 3/0/11: low battery power, out of memory; the other codes are about the radio and are only shown."""

ALARM_OBJECTS: Final[dict[int, tuple[str, Alarm | None]]] = {
    10272: ("customer_leakage", Alarm.LEAK),
    10273: ("reverse_flow", Alarm.REVERSE_FLOW),
    10274: ("empty_pipe", Alarm.EMPTY_PIPE),
    10275: ("tamper", Alarm.MAGNETIC_TAMPER),
    10276: ("high_pressure", None),
    10277: ("low_pressure", None),
    10278: ("high_temperature", None),
    10279: ("low_temperature", None),
    10280: ("network_leak", Alarm.LEAK),
    10281: ("low_battery", Alarm.BATTERY_LOW),
    10282: ("daughter_board_failure", None),
    10283: ("device_reboot", None),
    10284: ("time_synchronisation", None),
    10285: ("presence", None),
}
"""South East Water's alarm objects, all of one shape: resource 6013 is the state, 6025 its history."""

INTERVAL_OBJECTS: Final[dict[int, str]] = {
    10266: "flow",
    10267: "maximum_flow_rate",
    10268: "temperature",
    10269: "pressure",
    10270: "battery_level",
    10271: "communication_time",
}
"""South East Water's interval objects: resource 6029 is what is new, 6009 what was asked for again."""

SHOWN: Final[dict[tuple[int, int], str]] = {
    (3, 0): "manufacturer",
    (3, 1): "model",
    (3, 2): "device_serial",
    (3, 3): "firmware_version",
    (3, 9): "battery_percent",
    (3411, 1): "battery_percent",
    (4, 0): "network_bearer",
    (5, 3): "firmware_state",
    (5, 5): "firmware_result",
    (6, 0): "latitude",
    (6, 1): "longitude",
    (3412, 20): "rssi_dbm",
    (3424, 12): "meter_blocked",
    (3424, 3): "water_meter_type",
    (3424, 6042): "quality_indicator",
    (3424, 6049): "quality_level",
}
"""Kept in ``extra`` under a name of its own."""
