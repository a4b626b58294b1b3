"""Alarm bits a meter can raise itself (PROTOCOLS G, key 10)."""

from enum import IntFlag


class Alarm(IntFlag):
    LEAK = 1 << 0
    BURST = 1 << 1
    REVERSE_FLOW = 1 << 2
    MAGNETIC_TAMPER = 1 << 3
    DISMANTLED = 1 << 4
    BATTERY_LOW = 1 << 5
    EMPTY_PIPE = 1 << 6
    OVER_RANGE_FLOW = 1 << 7
    VALVE_FAULT = 1 << 8
    CLOCK_LOST = 1 << 9
    STORAGE_FAULT = 1 << 10


def names(bits: int) -> list[str]:
    """Lower-case names of the set bits, lowest first; bits without a name are left out."""
    return [alarm.name.lower() for alarm in Alarm if bits & alarm and alarm.name]
