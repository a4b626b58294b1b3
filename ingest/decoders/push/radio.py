"""Battery and radio as profiles and platforms write them: mV, V or V × 100; dBm or tenths of it (PROTOCOLS C and F)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from metering.model import DeviceState

from ..quantities import decimal, scaled, within

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "rsrp": ("rsrp",),
    "snr": ("sinr", "snr"),
    "ecl": ("ecl", "cc", "coverageGrade"),
    "cell_id": ("cell_id", "cellId"),
    "battery": ("battery_voltage", "batteryVoltage", "voltage"),
    "temperature": ("temperature", "internalTemperature"),
}
"""What a field is called, most specific first."""

TENTHS_FROM_DDBM: Final = -300
"""No meter hears its cell with more than −30 dBm: what is below −300 is in tenths, what is above −200 is not."""


def state(data: Mapping[str, Any]) -> DeviceState:
    """Battery, radio and temperature in the fields of a service; None where nothing that can be true stands."""
    rsrp = decimal(_first(data, "rsrp"))
    tenths = rsrp is None or rsrp <= TENTHS_FROM_DDBM
    rsrp_ddbm = within(scaled(_first(data, "rsrp"), 1 if tenths else 10), -2_000, TENTHS_FROM_DDBM)
    return DeviceState(
        battery_mv=battery_mv(_first(data, "battery")),
        rsrp_ddbm=rsrp_ddbm,
        snr_ddb=snr_ddb(_first(data, "snr"), tenths and rsrp is not None),
        ecl=within(scaled(_first(data, "ecl"), 1), 0, 2),
        cell_id=within(scaled(_first(data, "cell_id"), 1), 0, 2**32 - 1),
        temperature_dc=within(scaled(_first(data, "temperature"), 10), -1_000, 2_000),
    )


def battery_mv(value: Any) -> int | None:
    """Below 20 it is volts, below 1,000 hundredths of a volt, else millivolts."""
    number = decimal(value)
    if number is None or number <= 0:
        return None
    return within(scaled(value, 1_000 if number < 20 else 10 if number < 1_000 else 1), 1, 65_535)


def snr_ddb(value: Any, tenths: bool = False) -> int | None:
    """In tenths where the power beside it is, and where whole decibels would be beyond any radio."""
    number = decimal(value)
    if number is None:
        return None
    return within(scaled(value, 1 if tenths or abs(number) > 40 else 10), -500, 500)


def _first(data: Mapping[str, Any], field: str) -> Any:
    return next((data[name] for name in NAMES[field] if data.get(name) is not None), None)
