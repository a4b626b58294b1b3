"""Pure steps from decoded reports to readings of known meters: ``Decoded`` → ``Placed``, or `Refused`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metering.envelope import Report
from metering.model import AHEAD_S, EARLIEST_S, Authentication, DecodedReport, ReadingKind
from metering.pushers import PUSHED, Standing, product_of

from .classify import Bounds, Decoded, Prepared, Refused
from .device_clock import corrected, correction, lateness_s
from .identity import identity_of
from .installations import Device, Installation, Installations, names_same_meter

FOREIGN_DEVICE = "foreign_device"
"""Reason of a report that a push product brought for a device that is not bound to it."""


class Segment(NamedTuple):
    """Readings of one meter, at least one; `first_s` and `last_s` are the least and the greatest of `ts_s`."""

    meter_id: int
    ts_s: Sequence[int]
    index_ml: Sequence[int]
    first_s: int
    last_s: int


class Placed(NamedTuple):
    """A report of a known device whose every kept reading belongs to a meter. `rejected` counts the others;
    `reason` is that of the first of them."""

    report: Report
    decoder: str
    content: DecodedReport
    device: Device
    meter_id: int
    identity: int
    kind: ReadingKind
    segments: tuple[Segment, ...]
    rejected: int = 0
    reason: str | None = None

    @property
    def readings(self) -> int:
        """Readings in the report, the rejected ones included."""
        segments = self.segments
        kept = len(segments[0].ts_s) if len(segments) == 1 else sum(len(segment.ts_s) for segment in segments)
        return self.rejected + kept


def place(
    prepared: Prepared, known: Installations, mismatch_refuses: bool, earlier: Mapping[bytes, Sequence[int]]
) -> tuple[list[Placed], list[Refused]]:
    """Give each report its device and each reading its meter. `known` must have been asked for `prepared.devices`;
    `earlier`: as of `ingest.lateness`."""
    placed: list[Placed] = []
    refused = [_with_device(r, known.get(r.report.device)) for r in prepared.refused]
    for decoded in prepared.decoded:
        report, device = decoded.report, known.get(decoded.report.device)
        vouched = decoded if device is None else _vouched(decoded, device)
        if isinstance(vouched, Decoded):
            step = place_report(vouched, device, mismatch_refuses, earlier.get(report.report_id, ()))
        else:
            step = vouched
        if isinstance(step, Placed):
            placed.append(step)
        else:
            refused.append(step)
    return placed, refused


def _vouched(decoded: Decoded, device: Device) -> Decoded | Refused:
    """A product speaks for the devices that are bound to it: what it says of others touches nothing of theirs."""
    report = decoded.report
    if report.authentication not in PUSHED:
        return decoded
    if _is_foreign(report, device):
        return _foreign(report, device, decoded.decoder)
    if _standing(report, device) is Standing.BOUND:
        return decoded._replace(report=report._replace(authentication=Authentication.PUSHER))
    return decoded


def _standing(report: Report, device: Device) -> Standing:
    return device.standing(product_of(report.source), report.authentication, report.received_at_us)


def _is_foreign(report: Report, device: Device) -> bool:
    """A first report that bound nothing (`first_contact`) was not the first."""
    stands = _standing(report, device)
    unproven = stands is Standing.UNBOUND and report.authentication == Authentication.FIRST_PUSHER
    return unproven or stands is Standing.FOREIGN


def _foreign(report: Report, device: Device, decoder: str | None) -> Refused:
    bound = ", ".join(binding.product for binding in device.bindings if binding.to_us is None) or "no product"
    message = f"{product_of(report.source)} pushed it; device {device.name} is bound to {bound}"
    return Refused(report, FOREIGN_DEVICE, message, device, decoder)


def _with_device(refused: Refused, device: Device | None) -> Refused:
    report = refused.report
    if device is not None and report.authentication in PUSHED and _is_foreign(report, device):
        return _foreign(report, device, refused.decoder)
    return Refused(report, refused.reason, refused.message, device, refused.decoder)


def place_report(
    decoded: Decoded, device: Device | None, mismatch_refuses: bool, earlier_s: Sequence[int] = ()
) -> Placed | Refused:
    """`earlier_s`: how late the device's reports came on the days before, see `device_clock.behind_s`."""
    report, content = decoded.report, decoded.content
    if device is None:
        return Refused(
            report, "unknown_device", f"no device {report.device!r} in the registry", decoder=decoded.decoder
        )
    received_s = report.received_at_us // 1_000_000
    identity = identity_of(device.name, report, content)  # by what the device said, not by when it came
    decoded = _by_the_right_clock(decoded, received_s, earlier_s)
    content = decoded.content
    installed = device.at(received_s if decoded.bounds is None else min(decoded.bounds.last_s, received_s))
    if mismatch_refuses and installed and not _is_meter(content.meter_address, installed):
        message = f"the frame names meter {content.meter_address}, installed is {installed.serial}"
        return Refused(report, "meter_mismatch", message, device, decoded.decoder)
    segments, rejected, reason = _segments(decoded, device, installed, received_s)
    if reason is not None and not segments:
        return Refused(report, reason, _REJECTED[reason], device, decoded.decoder)
    meter = installed or device.at(received_s)
    meter_id = segments[-1].meter_id if segments else meter.meter_id if meter else None
    if meter_id is None:
        return Refused(report, "not_installed", _REJECTED["not_installed"], device, decoded.decoder)
    kind = content.kind if content.ts_s else ReadingKind.EVENT
    return Placed(report, decoded.decoder, content, device, meter_id, identity, kind, segments, rejected, reason)


def _by_the_right_clock(decoded: Decoded, received_s: int, earlier_s: Sequence[int]) -> Decoded:
    bounds = decoded.bounds
    if bounds is None:
        return decoded
    late_s = lateness_s(decoded.content, decoded.decoder, decoded.report.door, received_s) if earlier_s else None
    found = correction(decoded.content, bounds.last_s, received_s, late_s, earlier_s)
    if found is None:
        return decoded
    moved = Bounds(bounds.first_s + found.offset_s, bounds.last_s + found.offset_s, bounds.low_ml, bounds.high_ml)
    return decoded._replace(content=corrected(decoded.content, found), bounds=moved)


def _is_meter(address: str | None, installed: Installation) -> bool:
    return address is None or names_same_meter(address, installed.serial)


_REJECTED = {
    "implausible_time": "no reading has a time from 2010 to a day after receipt",
    "index_out_of_register": "no reading has an index that the meter's register can show",
    "not_installed": "no meter was installed on the device at that time",
}


def _segments(
    decoded: Decoded, device: Device, installed: Installation | None, received_s: int
) -> tuple[tuple[Segment, ...], int, str | None]:
    """Readings by meter, how many were rejected, and the reason of the first of those."""
    content, bounds = decoded.content, decoded.bounds
    ts_s, index_ml = content.ts_s, content.index_ml
    if bounds is None:
        if content.untimed_index_ml is None:
            return (), 0, None
        ts_s, index_ml = [received_s], [content.untimed_index_ml]
        bounds = Bounds(received_s, received_s, content.untimed_index_ml, content.untimed_index_ml)
    first_s, last_s, low_ml, high_ml = bounds
    if (
        installed is not None
        and first_s >= EARLIEST_S
        and installed.from_s <= first_s
        and last_s <= received_s + AHEAD_S
        and last_s < installed.to_s
        and low_ml >= 0
        and high_ml <= installed.register_max_ml
    ):
        return (Segment(installed.meter_id, ts_s, index_ml, first_s, last_s),), 0, None
    return _each_reading(ts_s, index_ml, device, received_s)


def _each_reading(
    ts_s: Sequence[int], index_ml: Sequence[int], device: Device, received_s: int
) -> tuple[tuple[Segment, ...], int, str | None]:
    by_meter: dict[int, tuple[list[int], list[int]]] = {}
    reasons: list[str] = []
    for ts, index in zip(ts_s, index_ml, strict=True):
        if not EARLIEST_S <= ts <= received_s + AHEAD_S:
            reasons.append("implausible_time")
        elif (installed := device.at(ts)) is None:
            reasons.append("not_installed")
        elif not 0 <= index <= installed.register_max_ml:
            reasons.append("index_out_of_register")
        else:
            times, indices = by_meter.setdefault(installed.meter_id, ([], []))
            times.append(ts)
            indices.append(index)
    segments = tuple(
        Segment(meter_id, times, indices, min(times), max(times)) for meter_id, (times, indices) in by_meter.items()
    )
    return segments, len(reasons), reasons[0] if reasons else None
