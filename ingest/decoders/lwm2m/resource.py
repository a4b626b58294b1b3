"""One resource value of an LwM2M client, and the types that the OMA registry gives to the resources read here."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from enum import Enum
from typing import Any, Final, NamedTuple

from metering.errors import DecodeError

from ..quantities import single

MAX_RESOURCES: Final = 1_000
"""Of one report; more is no meter."""

Path = tuple[int, ...]

_PATH = re.compile(r"(?:/\d{1,5}){0,4}")


class Resource(NamedTuple):
    """`path`: object, instance, resource and, of a multiple resource, its instance. `ts_s`: Unix seconds, None where
    nothing is said. `value`: bool, int, float, str or bytes; bytes too where the type is not known."""

    path: Path
    value: Any
    ts_s: int | None = None


class Type(Enum):
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    STRING = "string"
    OPAQUE = "opaque"
    TIME = "time"


def _types(**ids: str) -> dict[int, Type]:
    return {int(number): Type[name.upper()] for name, numbers in ids.items() for number in numbers.split()}


_QUALITY = {5518: Type.TIME, 6050: Type.FLOAT, 6042: Type.INTEGER, 6049: Type.INTEGER}
_INTERVALS = _types(
    integer="6000 6001 6028", string="6002", time="6003 6004 6005 6006", boolean="6007", opaque="6009 6029"
)
_ALARM = _types(
    integer="6011 6015 6017 6018 6019 6024", boolean="6012 6013 6023", float="6014 6016", time="6020 6021",
    opaque="6025",
)  # fmt: skip

TYPES: Final[dict[int, dict[int, Type]]] = {
    3: _types(integer="6 7 8 9 10 11 20 21", string="0 1 2 3 14 15 16 17 18 19", time="13"),
    4: _types(integer="0 1 2 3 6 8 9 10 11 12 13", string="4 5 7"),
    5: _types(integer="3 5 9", string="1 6 7", opaque="0"),
    6: _types(float="0 1 2 3 6", opaque="4", time="5"),
    10: _types(integer="0 1 2 3 4 5 7 8 9 10 13 14", opaque="6"),
    19: _types(opaque="0", integer="1 5", time="2", string="3 4"),
    500: _types(integer="0 1 3 4 5 6 7 8", float="2"),
    3411: _types(integer="1 5 8 10", float="2 3", string="4 12", boolean="6 7 9") | _QUALITY,
    3412: _types(
        integer="10 16 17", string="1 2 3 4 5 6 7 8 21 22 23 24", opaque="9", float="11 12 18 20", time="13",
        boolean="15 19",
    ),
    3424: _types(float="1 7 8", string="3", integer="4 6", boolean="9 10 11 12 13") | _QUALITY,
    10262: _types(string="0", opaque="2"),
    10263: _types(string="0", opaque="2"),
    10264: _types(integer="0 2 3 4 5", string="1"),
    10265: _types(integer="0 2 3 4 5", string="1 7"),
    **dict.fromkeys(range(10266, 10272), _INTERVALS),
    **dict.fromkeys(range(10272, 10286), _ALARM),
}  # fmt: skip
"""By object and resource, from the registry's definitions; what is not here is kept as bytes."""


def path_of(text: Any) -> Path:
    """The ids of a path; ``/``, ``/dp`` and nothing are the root. Raises DecodeError [path]."""
    if text in (None, "", "/", "/dp", "dp"):
        return ()
    clean = "/" + re.sub(r"/+", "/", str(text)[:64]).strip("/")
    if not isinstance(text, str) or not _PATH.fullmatch(clean):
        raise DecodeError("path", f"{str(text)[:64]!r} is no path of LwM2M")
    return tuple(int(part) for part in clean[1:].split("/"))


def of_bytes(path: Path, raw: bytes) -> Any:
    """The value of a TLV resource; the bytes themselves where the type is unknown or they cannot be of it."""
    kind = _type(path)
    try:
        if kind in (Type.INTEGER, Type.TIME) and len(raw) in (1, 2, 4, 8):
            return int.from_bytes(raw, "big", signed=True)
        if kind is Type.FLOAT and len(raw) == 4:
            return single(struct.unpack(">f", raw)[0])
        if kind is Type.FLOAT and len(raw) == 8:
            return struct.unpack(">d", raw)[0]
        if kind is Type.BOOLEAN and raw in (b"\0", b"\1"):
            return raw == b"\1"
        return raw.decode() if kind is Type.STRING else raw
    except UnicodeDecodeError:
        return raw


def of_text(path: Path, text: str) -> Any:
    """The value of a resource in plain text (opaque is base64); the text where it cannot be of the type."""
    kind, text = _type(path), text.strip()
    try:
        if kind in (Type.INTEGER, Type.TIME) and len(text) <= 20:
            return int(text)
        if kind is Type.FLOAT and len(text) <= 40:
            return float(text)
        if kind is Type.BOOLEAN and text in ("0", "1"):
            return text == "1"
        return base64.b64decode(text, validate=True) if kind is Type.OPAQUE else text
    except (ValueError, binascii.Error):
        return text


def _type(path: Path) -> Type | None:
    return TYPES.get(path[0], {}).get(path[2]) if len(path) > 2 else None
