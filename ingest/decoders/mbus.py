"""M-Bus water meters (PROTOCOLS D): wired long frames (EN 13757-2, -3) and wireless telegrams without CRCs
(EN 13757-4), clear or AES-encrypted, through the library pymbusparser.

The library is foreign: whatever it raises, a panic of its native code included, becomes a DecodeError here, and it
never gets more than one frame. Clocks are taken for Beijing time. Reasons of refusal: [mbus] not such a frame,
[checksum], [medium] not a water meter, [key_missing] encrypted and no key configured, [key] the configured key does not
open it, [time_range], [index_range].
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pymbusparser

from metering.alarms import Alarm
from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState, ReadingKind

from .contract import Decoder
from .instants import plausible_s
from .native_fields import plain
from .quantities import scaled
from .readings import checked, checked_index

MAX_WIRED_BYTES: Final = 261
MAX_WIRELESS_BYTES: Final = 256
MAX_RECORDS: Final = 64
ML_PER_M3: Final = 1_000_000

WATER: Final = frozenset({0x06, 0x07, 0x15, 0x16, 0x17})
"""Warm, cold, hot, cold and both (EN 13757-3, table of device types)."""

SENDS: Final = frozenset({0x44, 0x46, 0x47, 0x48, 0x08, 0x18, 0x28, 0x38})
"""C fields of telegrams that carry data from a meter."""

STATUS_POWER_LOW: Final = 0x04
DECRYPTED_BEGINS: Final = "2F2F"
"""EN 13757-4: the idle filler that shows that the key was right."""


def wired_at(payload: bytes) -> int | None:
    """Where a long frame begins whose lengths, stop byte and checksum are right; None without one."""
    at = payload.find(0x68)
    while 0 <= at <= len(payload) - 9:
        if _is_long_frame(payload, at):
            return at
        at = payload.find(0x68, at + 1)
    return None


def _is_long_frame(payload: bytes, at: int) -> bool:
    size = payload[at + 1]
    end = at + 4 + size
    shaped = payload[at + 2] == size and payload[at + 3] == 0x68 and payload[end + 1 : end + 2] == b"\x16"
    return shaped and sum(payload[at + 4 : end]) & 0xFF == payload[end]


def recognises_wired(payload: bytes) -> bool:
    """Whether there is a whole long frame in the payload."""
    return len(payload) <= 2 * MAX_WIRED_BYTES and wired_at(payload) is not None


def recognises_wireless(payload: bytes) -> bool:
    """Whether the payload is as long as its first byte says and names a maker of three letters."""
    if not 12 <= len(payload) <= MAX_WIRELESS_BYTES or payload[0] != len(payload) - 1 or payload[1] not in SENDS:
        return False
    letters = int.from_bytes(payload[2:4], "little") & 0x7FFF
    return all(1 <= letters >> shift & 0x1F <= 26 for shift in (10, 5, 0))


def decode_wired(payload: bytes, received_at_s: int) -> DecodedReport:
    """The report in a wired frame. Raises DecodeError."""
    at = wired_at(payload[: 2 * MAX_WIRED_BYTES])
    if at is None:
        raise DecodeError("mbus", "no long frame with a right checksum")
    return _report(_parsed(payload[at : at + payload[at + 1] + 6], None), received_at_s)


def wireless(keys: Mapping[str, bytes] = MappingProxyType({})) -> Decoder:
    """A decoder of telegrams. `keys`: AES keys by maker and number (``SEN33225544``) or number alone."""

    def decode(payload: bytes, received_at_s: int) -> DecodedReport:
        if not recognises_wireless(payload):
            raise DecodeError("mbus", "no telegram of this length and maker")
        return _report(_parsed(payload, _key(payload, keys)), received_at_s)

    return Decoder("wireless_mbus", recognises_wireless, decode)


def _key(telegram: bytes, keys: Mapping[str, bytes]) -> bytes | None:
    letters = int.from_bytes(telegram[2:4], "little") & 0x7FFF
    maker = "".join(chr(64 + (letters >> shift & 0x1F)) for shift in (10, 5, 0))
    number = telegram[4:8][::-1].hex()
    return keys.get(maker + number) or keys.get(number)


def _parsed(frame: bytes, key: bytes | None) -> Mapping[str, Any]:
    try:
        parsed = pymbusparser.parse(frame, key=key, include_enrichment=False)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the library's native code is no Exception
        raise DecodeError("mbus", f"{type(error).__name__}: {str(error)[:200]}") from None
    security = parsed.get("security") or {}
    if security.get("payload_protection") == "encrypted":
        if security.get("decryption_state") == "key_missing":
            raise DecodeError("key_missing", "the telegram is encrypted and no key is configured for its meter")
        if not str(security.get("decrypted_payload_hex", "")).upper().startswith(DECRYPTED_BEGINS):
            raise DecodeError("key", "the configured key does not open the telegram")
    return parsed


def _report(parsed: Mapping[str, Any], received_at_s: int) -> DecodedReport:
    try:
        return _read(parsed, received_at_s)
    except (AttributeError, KeyError, TypeError, IndexError) as error:  # the library's document has another shape
        raise DecodeError("mbus", f"an unexpected document: {type(error).__name__}: {str(error)[:100]}") from error


def _read(parsed: Mapping[str, Any], received_at_s: int) -> DecodedReport:
    identity = parsed["meter"]["identity"]
    if identity["device_type_code"] not in WATER:
        raise DecodeError("medium", f"not a water meter: {identity['device_type']}")
    extra: dict[str, Any] = {
        "manufacturer": plain(identity["manufacturer_code"]),
        "medium": plain(identity["device_type"]),
    }
    volumes, times = _by_storage(parsed["records"][:MAX_RECORDS], extra)
    current_s = plausible_s(times.get(0), received_at_s)
    pairs = []
    for storage, index_ml in sorted(volumes.items(), reverse=True):
        at_s = plausible_s(times.get(storage), received_at_s) if "T" in str(times.get(storage, "")) else None
        if at_s is not None:
            pairs.append((at_s, index_ml))
        elif storage:  # at which end of its day a date is meant is not said
            kept = {"index_ml": index_ml, "date": times.get(storage)}
            extra.setdefault("storages", {})[str(storage)] = kept
    ts_s, indices, kind = checked(pairs, received_at_s)
    alarms = _alarms(parsed.get("transport") or {}, extra)
    number = str(identity["id"])
    return DecodedReport(
        DeviceState(alarms=alarms, device_time_s=current_s), ts_s, indices, kind if ts_s else ReadingKind.EVENT, None,
        checked_index(volumes.get(0)) if not ts_s else None,
        number if number.isascii() and number.isdigit() else None, extra,
    )  # fmt: skip


def _by_storage(records: list[Any], extra: dict[str, Any]) -> tuple[dict[int, int], dict[int, str]]:
    """Millilitres and times by storage number (0 is the current value); all other records go to `extra`."""
    volumes: dict[int, int] = {}
    times: dict[int, str] = {}
    for record in records:
        quantities, value = record["quantities"], record["value"].get("value")
        plain_one = record["function"] == "Instantaneous value" and record["tariff"] == 0 and record["subunit"] == 0
        index_ml = scaled(value, ML_PER_M3)
        if plain_one and quantities == ["Volume"] and record.get("unit") == "m3" and index_ml is not None:
            volumes.setdefault(record["storage_number"], index_ml)
        elif plain_one and len(quantities) == 1 and quantities[0].startswith("Time point"):
            times.setdefault(record["storage_number"], str(value))
        elif quantities:
            what = [plain(", ".join(quantities)), plain(value), plain(record.get("unit")), record["storage_number"]]
            extra.setdefault("records", []).append(what)
    return volumes, times


def _alarms(transport: Mapping[str, Any], extra: dict[str, Any]) -> int:
    statuses = [int(status["raw"], 16) for status in transport.get("statuses") or ()]
    if not any(statuses):
        return 0
    extra["status"] = f"{statuses[0]:02X}"
    return int(Alarm.BATTERY_LOW) if statuses[0] & STATUS_POWER_LOW else 0


WIRED = Decoder("wired_mbus", recognises_wired, decode_wired)
