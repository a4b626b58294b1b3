"""A decoder made of a mapping file.

Reasons of refusal: [checksum], [length] the frame is shorter than a field, [bcd] and [unit] of the index, [text],
[series], [no_index] the file names an index and the payload has none, and those of readings.
"""

from __future__ import annotations

from typing import Any

from metering.alarms import Alarm
from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState, ReadingKind

from .. import plain_json
from ..contract import Decoder
from ..instants import plausible_s
from ..native_fields import plain
from ..quantities import decimal, within
from ..readings import checked, checked_index
from . import fields, series
from .checksums import CHECKSUMS
from .fields import Source
from .spec import MAX_FRAME_BYTES, Checksum, Mapping, Match

LIMITS = {"ecl": (0, 2), "cell_id": (0, 2**32 - 1), "battery_mv": (0, 65_535)}
"""Least and greatest value that can be true of a state; of the others what their column holds."""
MAX_NUMBER = 2**31 - 1


def decoder_of(mapping: Mapping) -> Decoder:
    """The decoder that the file describes; pure, like all others."""
    is_octets = mapping.format == "octet_stream"

    def recognises(payload: bytes) -> bool:
        return bool(_frames(mapping.match, payload)) if is_octets else _document(mapping.match, payload) is not None

    def decode(payload: bytes, received_at_s: int) -> DecodedReport:
        source: Source | None = _frame(mapping.match, payload) if is_octets else _document(mapping.match, payload)
        if source is None:
            raise DecodeError("unrecognised", f"no payload of mapping {mapping.name}")
        return _report(mapping, source, received_at_s)

    return Decoder(mapping.name, recognises, decode)


def _frames(match: Match, payload: bytes) -> list[bytes]:
    """All places in the payload where the match's length and bytes are; without `search` the payload itself."""
    if len(payload) > MAX_FRAME_BYTES:
        return []
    if not match.search:
        return [payload] if _has_length(match, len(payload)) and _has_bytes(match, payload) else []
    size = match.length if isinstance(match.length, int) else len(payload)
    candidates = (payload[at : at + size] for at in range(len(payload) - size + 1))
    return [frame for frame in candidates if _has_bytes(match, frame)]


def _has_length(match: Match, size: int) -> bool:
    least, greatest = (match.length, match.length) if isinstance(match.length, int) else match.length or (1, size)
    return least <= size <= greatest


def _has_bytes(match: Match, frame: bytes) -> bool:
    for expected in match.bytes:
        wanted = bytes.fromhex(expected.hex)
        first = expected.at + (len(frame) if expected.at < 0 else 0)
        if first < 0 or frame[first : first + len(wanted)] != wanted:
            return False
    return True


def _frame(match: Match, payload: bytes) -> bytes | None:
    """The first frame whose checksum is right. Raises DecodeError [checksum] when none of those found is."""
    found = _frames(match, payload)
    right = [frame for frame in found if match.checksum is None or _is_right(match.checksum, frame)]
    if found and not right:
        raise DecodeError("checksum", "the checksum of the frame is wrong")
    return right[0] if right else None


def _is_right(checksum: Checksum, frame: bytes) -> bool:
    function, size = CHECKSUMS[checksum.kind]
    at = checksum.at + (len(frame) if checksum.at < 0 else 0)
    if at < 0 or at + size > len(frame):
        return False
    stands = int.from_bytes(frame[at : at + size], "big" if checksum.high_first else "little")
    return stands == function(frame[checksum.begin : checksum.end])


def _document(match: Match, payload: bytes) -> dict[str, Any] | None:
    try:
        document = plain_json.load_object(payload)
    except DecodeError:
        return None
    same = all(_same(fields.at_path(document, path), value) for path, value in match.where.items())
    return document if same and all(fields.at_path(document, path) is not None for path in match.has) else None


def _same(found: Any, wanted: str | int | bool) -> bool:
    return type(found) is type(wanted) and bool(found == wanted)


def _report(mapping: Mapping, source: Source, received_at_s: int) -> DecodedReport:
    extra: dict[str, Any] = {
        name: value for name, field in mapping.extra.items() if (value := _shown(field, source)) is not None
    }
    index_ml = fields.millilitres(mapping.index, source, fields.read(mapping.index, source)) if mapping.index else None
    if mapping.index and index_ml is None and not mapping.series:
        raise DecodeError("no_index", "the payload has no index where the mapping says")
    time_s = _time(mapping, source, received_at_s, extra)
    pairs: dict[int, int] = {}
    for one in mapping.series:
        pairs.update(series.readings(one, source, time_s, index_ml))
    if index_ml is not None and time_s is not None:
        pairs.setdefault(time_s, index_ml)
    ts_s, indices, kind = checked(sorted(pairs.items()), received_at_s)
    return DecodedReport(
        _state(mapping, source, time_s, extra), ts_s, indices,
        (mapping.reading_kind or kind) if ts_s else ReadingKind.EVENT, _counter(mapping, source),
        checked_index(index_ml) if not ts_s else None, _address(mapping, source), extra,
    )  # fmt: skip


def _time(mapping: Mapping, source: Source, received_at_s: int, extra: dict[str, Any]) -> int | None:
    """The report's time; one that cannot be right is kept as it came."""
    if mapping.time is None:
        return None
    time_s = plausible_s(fields.instant(mapping.time, source), received_at_s)
    if time_s is None:
        shown = mapping.time.model_copy(update={"encoding": "hex", "bytes": _time_bytes(mapping)})
        said = fields.read(shown, source)
        extra["implausible"] = {"clock": said.lower() if isinstance(source, bytes) else plain(said)}
    return time_s


def _time_bytes(mapping: Mapping) -> int:
    time = mapping.time
    assert time is not None  # noqa: S101 - asked for a mapping with a time only
    return len(time.order.split()) if time.format.endswith("_digits") else time.bytes


def _shown(field: Any, source: Source) -> Any:
    """A value for `extra`: a number in its scale where that is one, else as it is."""
    try:
        found = fields.read(field, source)
    except DecodeError as error:
        if error.reason == "length":
            raise
        return None
    if isinstance(found, (int, float)) and not isinstance(found, bool) and field.scale != 1:
        exact = decimal(found)
        return None if exact is None else plain(float(exact * field.scale))
    return plain(found)


def _state(mapping: Mapping, source: Source, time_s: int | None, extra: dict[str, Any]) -> DeviceState:
    known: dict[str, Any] = {}
    for name, field in mapping.state.items():
        value = fields.number(field, field.scale, source)
        known[name] = within(value, *LIMITS.get(name, (-MAX_NUMBER, MAX_NUMBER)))
        if value is not None and known[name] is None:
            extra.setdefault("implausible", {})[name] = plain(value)
    valve = mapping.valve.of(fields.read(mapping.valve, source)) if mapping.valve else None
    return DeviceState(**known, valve=valve, alarms=_alarms(mapping, source), device_time_s=time_s)


def _alarms(mapping: Mapping, source: Source) -> int:
    bits = 0
    for one in mapping.alarms:
        value = fields.read(one, source)
        raised = str(value) in one.when if one.when else _is_set(value)
        bits |= int(Alarm[one.alarm.upper()]) if raised else 0
    return bits


def _is_set(value: Any) -> bool:
    """Whether a flag is up: not absent, not zero in any spelling, not false."""
    if value is None or value is True or value is False:
        return value is True
    return decimal(value) != 0 and str(value).strip().lower() not in ("false", "")


def _counter(mapping: Mapping, source: Source) -> int | None:
    return within(fields.number(mapping.seq, mapping.seq.scale, source), 0, 2**32 - 1) if mapping.seq else None


def _address(mapping: Mapping, source: Source) -> str | None:
    if mapping.meter_address is None:
        return None
    field = mapping.meter_address
    if field.at is not None and field.encoding.startswith("bcd"):  # leading zeros belong to a number that is printed
        field = field.model_copy(update={"encoding": "hex_le" if field.encoding == "bcd_le" else "hex"})
    found = fields.read(field, source)
    text = str(found).strip() if isinstance(found, (str, int)) else ""
    return text if text.isascii() and text.isdigit() and len(text) <= 32 else None
