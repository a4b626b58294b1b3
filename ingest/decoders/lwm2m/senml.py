"""SenML packs of LwM2M (RFC 8428; LwM2M core 1.2, section 7.4.7): JSON is Content-Format 110, CBOR 112."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any, Final

from metering.errors import DecodeError

from .. import plain_cbor, plain_json
from ..quantities import decimal, single
from .resource import MAX_RESOURCES, Path, Resource, path_of

LABELS: Final = {-2: "bn", -3: "bt", -5: "bv", 0: "n", 2: "v", 3: "vs", 4: "vb", 6: "t", 8: "vd"}
"""RFC 8428 section 6, table 4."""

RELATIVE_BELOW_S: Final = 2**28
"""RFC 8428 section 4.5.3: times below are seconds from now."""


def read_json(payload: bytes, base: Path, received_at_s: int) -> list[Resource]:
    """Raises DecodeError [json], [senml], [path], [too_many_resources]."""
    return _read(plain_json.load(payload), base, received_at_s)


def read_cbor(payload: bytes, base: Path, received_at_s: int) -> list[Resource]:
    """Raises DecodeError [cbor], [senml], [path], [too_many_resources]."""
    pack = plain_cbor.load(payload)
    if not isinstance(pack, list):
        raise DecodeError("senml", "the pack is not an array of records")
    records = [_named(record, payload) for record in pack]
    return _read(records, base, received_at_s)


def exact(value: Any, payload: bytes) -> Any:
    """A float that was sent with 32 bits as the shortest decimal of those; all else as it is."""
    if isinstance(value, float) and b"\xfb" + struct.pack(">d", value) not in payload and value - value == 0:
        return single(value)
    return value


def _named(record: Any, payload: bytes) -> Any:
    if not isinstance(record, dict):
        return record
    return {LABELS.get(key, key): exact(value, payload) for key, value in record.items()}


def _read(pack: Any, base: Path, received_at_s: int) -> list[Resource]:
    if not isinstance(pack, list):
        raise DecodeError("senml", "the pack is not an array of records")
    if len(pack) > MAX_RESOURCES:
        raise DecodeError("too_many_resources", f"more than {MAX_RESOURCES} resources in one report")
    found: list[Resource] = []
    base_name: Any = ""
    base_time: Any = 0
    base_value: Any = 0
    for record in pack:
        if not isinstance(record, dict):
            raise DecodeError("senml", "a record is not a map")
        base_name, base_time = record.get("bn", base_name), record.get("bt", base_time)
        base_value = record.get("bv", base_value)
        value = _value(record, base_value)
        if value is None:
            continue
        found.append(
            Resource(_path(base_name, record.get("n", ""), base), value, _time(base_time, record, received_at_s))
        )
    return found


def _path(base_name: Any, name: Any, base: Path) -> Path:
    """The base name and the name as RFC 8428 joins them, where a sender left the slash out, with one."""
    if not isinstance(base_name, str) or not isinstance(name, str):
        raise DecodeError("senml", "a name is not a text")
    path = path_of(f"{base_name}/{name}")
    if len(path) < 3 and base and path[:1] != base[:1]:
        path = base + path  # a client that gives names below what was read
    if len(path) < 3:
        raise DecodeError("path", f"{base_name[:40]}{name[:40]} names no resource")
    return path


def _value(record: dict[Any, Any], base_value: Any) -> Any:
    if "v" in record:
        value = record["v"]
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise DecodeError("senml", "v is not a number")
        return value if not base_value else _sum(base_value, value)
    if "vd" in record:
        return _data(record["vd"])
    return next((record[name] for name in ("vs", "vb", "vlo") if isinstance(record.get(name), (str, bool))), None)


def _sum(base_value: Any, value: Any) -> float:
    first, second = decimal(base_value), decimal(value)
    if first is None or second is None:
        raise DecodeError("senml", "a base value is not a number")
    return float(first + second)


def _data(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise DecodeError("senml", "vd is not base64") from error


def _time(base_time: Any, record: dict[Any, Any], received_at_s: int) -> int | None:
    """Unix seconds, rounded down; None where neither the record nor the base says any."""
    if not base_time and "t" not in record:
        return None
    first, second = decimal(base_time), decimal(record.get("t", 0))
    if first is None or second is None or isinstance(base_time, str) or isinstance(record.get("t"), str):
        raise DecodeError("senml", "a time is not a number")
    seconds = (first + second) // 1
    return int(seconds if seconds >= RELATIVE_BELOW_S else seconds + received_at_s)
