"""Values out of a frame's bytes or a JSON document, as a mapping file places them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

from metering.errors import DecodeError

from ..instants import unix_s
from ..native_fields import plain
from ..quantities import decimal, scaled
from .spec import Index, Time, Value

CENTURY: Final = 20
MAX_PATH_STEPS: Final = 16

Source = bytes | dict[str, Any]
"""The frame, or the document."""


def at_path(document: Any, path: str) -> Any:
    """What stands at names and positions joined with dots; None where nothing does."""
    for step in path.split(".")[:MAX_PATH_STEPS]:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def raw(value: Value, source: Source, moved: int = 0) -> bytes:
    """The bytes of the value, `moved` bytes on. Raises DecodeError [length] beyond the frame."""
    assert isinstance(source, bytes)  # noqa: S101 - the file was checked: places in bytes are those of octets only
    assert value.at is not None  # noqa: S101 - as above
    first = value.at + moved + (len(source) if value.at < 0 else 0)
    if first < 0 or first + value.bytes > len(source):
        raise DecodeError("length", f"the frame has no bytes {first} to {first + value.bytes}")
    return source[first : first + value.bytes]


def read(value: Value, source: Source, moved: int = 0) -> Any:
    """A number or text; None where the document has nothing there or a number means nothing. Raises DecodeError
    [length], [bcd], [text]."""
    if value.constant is not None:
        return value.constant
    found = at_path(source, value.path) if value.path is not None else _decoded(value, raw(value, source, moved))
    if isinstance(found, int) and not isinstance(found, bool):
        found = (found & value.mask if value.mask is not None else found) >> value.shift
        return None if found in value.absent else found
    return found


def _decoded(value: Value, data: bytes) -> Any:
    encoding = value.encoding
    if encoding in ("hex", "hex_le"):
        return (data if encoding == "hex" else data[::-1]).hex().upper()
    if encoding == "ascii":
        return _text(data)
    order = "little" if encoding.endswith("_le") else "big"
    if encoding.startswith("bcd"):
        digits = (data[::-1] if order == "little" else data).hex()
        if not digits.isdecimal():
            raise DecodeError("bcd", f"{data.hex()} is not BCD")
        return int(digits)
    return int.from_bytes(data, "little" if order == "little" else "big", signed=encoding.startswith("int"))


def _text(data: bytes) -> str:
    try:
        return data.strip(b"\0 ").decode("ascii")
    except UnicodeDecodeError as error:
        raise DecodeError("text", f"{data.hex()} is not ASCII") from error


def number(value: Value, scale: Decimal, source: Source) -> int | None:
    """The value times `scale`, rounded; None where there is none. Digits that are no digits are none, too: a sensor's
    gibberish must not cost the reading beside it."""
    try:
        found = read(value, source)
    except DecodeError as error:
        if error.reason == "length":
            raise
        return None
    return scaled(found, scale)


def millilitres(index: Index, source: Source, found: Any) -> int | None:
    """`found` counts of the index in millilitres; None for no count. Raises DecodeError [unit]."""
    if found is None:
        return None
    factor = index.ml_per_count
    if index.ml_per_count_by is not None:
        unit = read(index.ml_per_count_by, source)
        factor = index.ml_per_count_by.table.get(str(unit))
        if factor is None:
            raise DecodeError(
                "unit", f"unit {str(plain(unit))[:40]!r} is none of {sorted(index.ml_per_count_by.table)}"
            )
    return scaled(found, factor or Decimal(0))


def instant(time: Time, source: Source) -> int | None:
    """Unix seconds; None where nothing stands there, or no time. Raises DecodeError [length]."""
    if time.format.endswith("_digits"):
        return _digits(time, raw(time.model_copy(update={"bytes": len(time.order.split())}), source))
    try:
        found = read(time, source)
    except DecodeError as error:
        if error.reason == "length":
            raise
        return None
    if time.format == "text":
        return unix_s(found, zone_of(time)) if isinstance(found, str) else None
    seconds = decimal(found)
    return None if seconds is None else int(seconds // (1_000 if time.format == "unix_ms" else 1))


def _digits(time: Time, data: bytes) -> int | None:
    parts: dict[str, int] = {"ss": 0, "mm": 0, "hh": 0, "CC": CENTURY}
    for token, byte in zip(time.order.split(), data, strict=True):
        text = f"{byte:02x}" if time.format == "bcd_digits" else str(byte)
        if token == "WW":  # noqa: S105 - the weekday, which vendors number as they like
            continue
        if not text.isdecimal():
            return None
        parts[token] = int(text)
    try:
        local = datetime(
            parts["CC"] * 100 + parts["YY"], parts["MM"], parts["DD"], parts["hh"], parts["mm"], parts["ss"],
            tzinfo=zone_of(time),
        )  # fmt: skip
        return int(local.timestamp())
    except (ValueError, OverflowError):
        return None


def zone_of(time: Time) -> timezone:
    """The zone of clocks that name none."""
    if time.zone == "Z":
        return UTC
    ahead = timedelta(hours=int(time.zone[1:3]), minutes=int(time.zone[-2:]))
    return timezone(-ahead if time.zone[0] == "-" else ahead)
