"""CJ/T 188, 2004 and 2018: replies of a meter, first of all the reading 901F (PROTOCOLS A).

Reasons of refusal beside those of `cjt188_frame`: [request] a master's frame that was echoed, [error_reply] the meter
refused what it was asked, [length], [bcd], [unit].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState, ReadingKind

from . import cjt188_frame, cjt188_status
from .cjt188_frame import CONTROL_ERROR, CONTROL_MORE, Frame
from .cjt188_status import BY_MAKER, Profile
from .contract import Decoder, anything

DI_READING = 0x901F
DI_VALVE = 0xA017
READING_BYTES = 19

HUNDREDTH_ML = {0x29: 10, 0x2A: 100, 0x2B: 1_000, 0x2C: 10_000, 0x2D: 100_000, 0x2E: 1_000_000}
"""Millilitres of the last of two decimals: 29 litre, 2A ×10 L, 2B ×100 L, 2C m³, 2D ×10 m³, 2E ×100 m³."""


def decoder(status_by_maker: Mapping[str, Profile] = BY_MAKER) -> Decoder:
    """A decoder that reads the status bytes as their makers mean them."""

    def decode(payload: bytes, received_at_s: int) -> DecodedReport:
        return _decode(payload, received_at_s, status_by_maker)

    return Decoder("cjt188", anything, decode)


def _decode(payload: bytes, received_at_s: int, by_maker: Mapping[str, Profile]) -> DecodedReport:
    """What the meter's reply says; a reply without a volume is a report without readings. Raises DecodeError.

    Where the clock is absent or cannot be right, the index is returned as `untimed_index_ml`.
    """
    frame = cjt188_frame.find(payload)
    refuse_other_than_reply(frame)
    extra = described(frame)
    if frame.di == DI_READING:
        return _reading(frame, received_at_s, extra, by_maker)
    if frame.di == DI_VALVE and len(frame.data) >= 2:
        state = _state(frame, frame.data[0:2], extra, by_maker)
        return DecodedReport(state, [], [], **_identity(frame, extra))
    extra["data"] = frame.data.hex()
    return DecodedReport(DeviceState(), [], [], **_identity(frame, extra))


def refuse_other_than_reply(frame: Frame) -> None:
    """Raises DecodeError for a request or an error reply."""
    if not frame.is_reply:
        raise DecodeError("request", f"a request to the meter (control {frame.control:02X}), not its answer")
    if frame.control & CONTROL_ERROR:
        raise DecodeError(
            "error_reply", f"the meter refused (control {frame.control:02X}, data {frame.data[-2:].hex()})"
        )


def described(frame: Frame) -> dict[str, Any]:
    """What the frame says of itself, to be shown; the order of DI is kept since commands must use the same."""
    extra: dict[str, Any] = {
        "meter_type": f"{frame.meter_type:02X}",
        "control": f"{frame.control:02X}",
        "di": f"{frame.di:04X}",
        "di_order": "high_first" if frame.di_high_first else "low_first",
        "ser": frame.serial_number,
    }
    if frame.control & CONTROL_MORE:
        extra["more_follows"] = True
    return extra


def _identity(frame: Frame, extra: dict[str, Any]) -> dict[str, Any]:
    return {"kind": ReadingKind.EVENT, "meter_address": frame.meter_address, "extra": extra}


def _reading(frame: Frame, received_at_s: int, extra: dict[str, Any], by_maker: Mapping[str, Profile]) -> DecodedReport:
    data = frame.data
    if len(data) < READING_BYTES:
        raise DecodeError("length", f"a reading has {READING_BYTES} bytes after SER, this one {len(data)}")
    index_ml = _volume_ml(data[0:4], data[4])
    extra["unit"] = f"{data[4]:02X}"
    extra.update(_settlement_day(data))
    clock_s = _clock_s(data[10:17], received_at_s)
    state = _state(frame, data[17:19], extra, by_maker, clock_s)
    if clock_s is None:
        if any(data[10:17]):
            extra["implausible"] = {"clock": data[10:17].hex()}
        return DecodedReport(state, [], [], untimed_index_ml=index_ml, **_identity(frame, extra))
    return DecodedReport(state, [clock_s], [index_ml], **_identity(frame, extra))


def _volume_ml(bcd: bytes, unit: int) -> int:
    hundredths = cjt188_frame.number(bcd)
    if hundredths is None:
        raise DecodeError("bcd", f"volume {bcd.hex()} is not BCD")
    if unit not in HUNDREDTH_ML:
        raise DecodeError("unit", f"unit {unit:02X} is no unit of volume")
    return hundredths * HUNDREDTH_ML[unit]


def _settlement_day(data: bytes) -> dict[str, int]:
    """The volume at the last settlement day; meters that keep none send what they like there."""
    try:
        return {"settlement_index_ml": _volume_ml(data[5:9], data[9])}
    except DecodeError:
        return {}


def _clock_s(bcd: bytes, received_at_s: int) -> int | None:
    """The clock, sent lowest byte first by the standard and highest first by some; the likelier where both could be."""
    candidates = (cjt188_frame.instant(bcd[::-1], received_at_s), cjt188_frame.instant(bcd, received_at_s))
    plausible = [unix_s for unix_s in candidates if unix_s is not None]
    return min(plausible, key=lambda unix_s: abs(received_at_s - unix_s)) if plausible else None


def _state(
    frame: Frame, st: bytes, extra: dict[str, Any], by_maker: Mapping[str, Profile], clock_s: int | None = None
) -> DeviceState:
    extra["st"] = st.hex().upper()
    valve, alarms = cjt188_status.of(by_maker, frame.meter_address, st[0], st[1])
    return DeviceState(valve=valve, alarms=alarms, device_time_s=clock_s)
