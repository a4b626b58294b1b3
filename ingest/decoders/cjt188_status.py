"""What the status bytes ST0 ST1 mean: the standard's meaning, and those of vendors who differ (PROTOCOLS A).

Which vendor follows which is a table that the settings add to (`ingest.cjt188_profiles`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from metering.alarms import Alarm
from metering.model import Valve

Status = tuple[Valve | None, int]
"""Valve, None when it is not said, and bits of `Alarm`."""

_STANDARD_VALVE = {0: Valve.OPEN, 1: Valve.CLOSED, 3: Valve.FAULT}


def standard(st0: int, st1: int) -> Status:  # noqa: ARG001 - ST1 is the vendor's own by the standard
    """ST0: D0–D1 valve (00 open, 01 closed, 11 abnormal), D2 battery low."""
    valve = _STANDARD_VALVE.get(st0 & 0x03)
    alarms = Alarm.VALVE_FAULT if valve is Valve.FAULT else 0
    return valve, int(alarms | (Alarm.BATTERY_LOW if st0 & 0x04 else 0))


def flags(st0: int, st1: int) -> Status:  # noqa: ARG001 - no known flag lies in ST1
    """Flags of a word sent low byte first: 0001 open, 0002 valve fault, 0004 battery low, 0040 line cut, 0080 magnetic
    alarm."""
    valve = Valve.FAULT if st0 & 0x02 else Valve.OPEN if st0 & 0x01 else Valve.CLOSED
    alarms = Alarm.VALVE_FAULT if st0 & 0x02 else 0
    alarms |= Alarm.BATTERY_LOW if st0 & 0x04 else 0
    alarms |= Alarm.DISMANTLED if st0 & 0x40 else 0
    return valve, int(alarms | (Alarm.MAGNETIC_TAMPER if st0 & 0x80 else 0))


def high_bits(st0: int, st1: int) -> Status:  # noqa: ARG001 - no known flag lies in ST1
    """ST0: D6–D7 valve (00 open, 01 closed, 11 abnormal), D2 battery low."""
    return standard(st0 >> 6 | st0 & 0x04, 0)


Profile = Callable[[int, int], Status]

PROFILES: Mapping[str, Profile] = MappingProxyType({"standard": standard, "flags": flags, "high_bits": high_bits})
"""By the name that the settings call them."""

BY_MAKER: Mapping[str, Profile] = MappingProxyType({"5843": flags})
"""By the manufacturer's code, the four highest digits of the address; who is not here follows the standard."""


def of(by_maker: Mapping[str, Profile], meter_address: str | None, st0: int, st1: int) -> Status:
    """The status by the profile of the meter's manufacturer."""
    return by_maker.get((meter_address or "")[:4], standard)(st0, st1)
