"""The services of a push, whichever platform it came through: profiles that are known, frames that are carried in a
field, radio and alarms by name. What did not become readings is kept in ``extra["services"]``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState, ReadingKind

from .. import plain_json
from ..contract import MAX_EXTRA_HEX, Inner
from ..instants import plausible_s
from ..native_fields import plain
from ..readings import joined, merged
from . import profiles, radio

MAX_SERVICES: Final = 64
MAX_FRAMES: Final = 16
"""Texts of one push that are tried as a meter's frame."""
MIN_FRAME_BYTES: Final = 13
MAX_FRAME_CHARACTERS: Final = 65_536

_NO_FRAME: Final = frozenset({"no_frame", "marker", "empty", "unrecognised", "cbor", "json", "too_long", "version"})
"""Reasons that say: this is no frame at all, and never was meant to be one."""


class Service(NamedTuple):
    """`at_s`: Unix seconds when the platform or the device says the data is of; None where it does not."""

    name: str
    data: Mapping[str, Any]
    at_s: int | None = None


def report(services: Sequence[Service], inner: Inner, received_at_s: int, extra: dict[str, Any]) -> DecodedReport:
    """What the services say together. Raises DecodeError: of readings; of the frames carried, when nothing else could
    be read; [too_many_services]."""
    if len(services) > MAX_SERVICES:
        raise DecodeError("too_many_services", f"more than {MAX_SERVICES} services in one push")
    parts: list[DecodedReport] = []
    failed: list[DecodeError] = []
    budget = MAX_FRAMES
    for service in services:
        known = _profile(service, received_at_s)
        if known is not None:
            parts.append(timed(known, service.at_s, received_at_s))
        for text in frames_in(service.data) if known is None or not known.ts_s else ():
            if budget == 0:
                break
            budget -= 1
            frame = _inner(text, inner, received_at_s, failed)
            if frame is not None:
                extra.setdefault("inner_decoder", frame[0])
                parts.append(timed(frame[1], service.at_s, received_at_s))
        kept = _kept(service.data, known, "inner_decoder" in extra)
        extra["services"] = joined(extra.get("services", {}), {service.name: kept})
    if failed and not any(part.ts_s or part.untimed_index_ml is not None for part in parts):
        raise failed[0]
    return merged(parts, DeviceState(), extra)


def _kept(data: Mapping[str, Any], known: DecodedReport | None, framed: bool) -> Any:
    """The service to be shown, without what became readings: series of a profile, and texts that were frames."""
    inner = data.get("MeterData")
    flat = inner if isinstance(inner, dict) else data
    if known is not None and len(known.ts_s) > 1:
        flat = {name: value for name, value in flat.items() if not isinstance(value, list)}
    if framed:
        flat = {name: value for name, value in flat.items() if len(str(value)) < 2 * MIN_FRAME_BYTES}
    return plain(dict(flat))


def frame_report(
    frame: bytes, inner: Inner, at_s: int | None, received_at_s: int, extra: dict[str, Any]
) -> DecodedReport:
    """What a frame says that the push carries as such. Raises DecodeError as its decoder does."""
    name, part = inner(frame, received_at_s)
    extra["inner_decoder"] = name
    return merged([timed(part, at_s, received_at_s)], DeviceState(), extra)


def timed(part: DecodedReport, at_s: int | None, received_at_s: int) -> DecodedReport:
    """An index without a time has that of the data, which the push may follow by hours: platforms catch up."""
    if part.untimed_index_ml is None or part.ts_s or at_s is None or plausible_s(at_s, received_at_s) is None:
        return part
    return part._replace(ts_s=[at_s], index_ml=[part.untimed_index_ml], untimed_index_ml=None)


def octets(text: Any) -> bytes | None:
    """The bytes in a text of hexadecimal digits or base64; None where it is neither."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_FRAME_CHARACTERS:
        return None
    clean = "".join(text.split())
    try:
        return bytes.fromhex(clean)
    except ValueError:
        pass
    try:
        return base64.b64decode(clean, validate=True)
    except (binascii.Error, ValueError):
        return None


def frames_in(data: Any, depth: int = 0) -> Iterator[bytes]:
    """Bytes of the texts in the data that are long enough for a frame."""
    if isinstance(data, str):
        found = octets(data)
        if found is not None and len(found) >= MIN_FRAME_BYTES:
            yield found
    elif depth < 3 and isinstance(data, (dict, list)):
        for value in list(data.values() if isinstance(data, dict) else data)[:64]:
            yield from frames_in(value, depth + 1)


def _inner(
    frame: bytes, inner: Inner, received_at_s: int, failed: list[DecodeError]
) -> tuple[str, DecodedReport] | None:
    try:
        name, part = inner(frame, received_at_s)
    except DecodeError as error:
        if error.reason not in _NO_FRAME:
            failed.append(DecodeError(error.reason, f"{error} (of {frame[:MAX_EXTRA_HEX].hex()})"))
        return None
    return None if name == "modem_marker" else (name, part)


def _profile(service: Service, received_at_s: int) -> DecodedReport | None:
    """What a known profile or known names say; None where there is nothing known in it."""
    data = service.data
    meter_data = data.get("MeterData")
    if isinstance(meter_data, str) and meter_data[:1] == "{":
        meter_data = _object(meter_data)
    if isinstance(meter_data, dict):
        return profiles.junxiang(meter_data, received_at_s)
    if "timeOfReading" in data and ("Alarm" not in service.name):
        return profiles.water_meter(data, received_at_s)
    flags = profiles.alarm_flags(data)
    state = radio.state(data)._replace(alarms=flags.state.alarms)
    return DecodedReport(state, [], [], ReadingKind.EVENT) if state != DeviceState() else None


def _object(text: str) -> dict[str, Any] | None:
    try:
        return plain_json.load_object(text[:MAX_FRAME_CHARACTERS])
    except DecodeError:
        return None
