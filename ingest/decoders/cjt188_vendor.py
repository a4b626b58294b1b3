"""The daily report of an NB-IoT meter behind China Telecom, a vendor's own use of CJ/T 188 (PROTOCOLS A).

Control 81, L = 1D, DI 901F, then: meter number 6 BCD · clock 7 BCD (ss mm hh DD weekday MM YY) · volume uint32 ·
sample unit · battery mV 2 BCD · status 2 · signal 1 BCD · pressure 3 BCD (MPa, 2 decimals); all lowest byte first.
Observed in the public repository hercwey/water-project.
"""

from __future__ import annotations

from typing import Any

from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState, ReadingKind

from . import cjt188, cjt188_frame, cjt188_status
from .contract import Decoder

REPORT_BYTES = 26
CENTURY = 0x20
KPA_PER_HUNDREDTH_MPA = 10

SAMPLE_ML = {0: 100_000, 1: 1_000_000, 2: 10_000, 3: 1_000}
"""Millilitres of one count: 0.1 m³, 1 m³, 0.01 m³, 1 L."""


def recognises(payload: bytes) -> bool:
    """Whether the payload's frame has this report's control, DI and length."""
    try:
        frame = cjt188_frame.find(payload)
    except DecodeError:
        return False
    return frame.control == 0x81 and frame.di == cjt188.DI_READING and len(frame.data) == REPORT_BYTES


def decode(payload: bytes, received_at_s: int) -> DecodedReport:
    """The report. Raises DecodeError: [bcd] meter number, [unit] sample unit, else as `cjt188_frame` says."""
    frame = cjt188_frame.find(payload)
    data = frame.data
    if len(data) != REPORT_BYTES:
        raise DecodeError("length", f"the report has {REPORT_BYTES} bytes after SER, this one {len(data)}")
    meter_number = cjt188_frame.digits(data[0:6])
    if meter_number is None:
        raise DecodeError("bcd", f"meter number {data[0:6].hex()} is not BCD")
    if data[17] not in SAMPLE_ML:
        raise DecodeError("unit", f"sample unit {data[17]} is none of {sorted(SAMPLE_ML)}")
    index_ml = int.from_bytes(data[13:17], "little") * SAMPLE_ML[data[17]]
    extra: dict[str, Any] = {
        **cjt188.described(frame),
        "address": frame.meter_address,
        "sample_unit": data[17],
        "status": f"{data[21]:02X}{data[20]:02X}",
        "csq": cjt188_frame.number(data[22:23]),
    }
    second, minute, hour, day, _weekday, month, year = data[6:13]
    clock_s = cjt188_frame.instant(bytes((CENTURY, year, month, day, hour, minute, second)), received_at_s)
    state = _state(data, clock_s)
    if clock_s is None:
        extra["implausible"] = {"clock": data[6:13].hex()}
        return DecodedReport(state, [], [], ReadingKind.EVENT, None, index_ml, meter_number, extra)
    return DecodedReport(state, [clock_s], [index_ml], ReadingKind.EVENT, None, None, meter_number, extra)


def _state(data: bytes, clock_s: int | None) -> DeviceState:
    valve, alarms = cjt188_status.flags(data[20], data[21])
    hundredths_mpa = cjt188_frame.number(data[23:26])
    return DeviceState(
        battery_mv=cjt188_frame.number(data[18:20]),
        pressure_kpa=None if hundredths_mpa is None else hundredths_mpa * KPA_PER_HUNDREDTH_MPA,
        valve=valve,
        alarms=alarms,
        device_time_s=clock_s,
    )


DECODER = Decoder("cjt188_vendor", recognises, decode)
