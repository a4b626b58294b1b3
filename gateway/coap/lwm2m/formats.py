"""Content-Formats of LwM2M: which a client is asked for, and the few values the server itself reads or writes. Pure.

Reports are not read here: their bytes go into the stream as they came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias

import cbor2

from gateway.coap.lwm2m.registration import Registration

TEXT, LINK_FORMAT, OPAQUE = 0, 40, 42
SENML_JSON, SENML_CBOR, TLV, JSON_1_0, LWM2M_CBOR = 110, 112, 11542, 11543, 11544

_BY_VERSION: Mapping[tuple[int, int], tuple[int, ...]] = {
    (1, 0): (TLV, JSON_1_0),
    (1, 1): (SENML_CBOR, SENML_JSON, TLV),
    (1, 2): (SENML_CBOR, LWM2M_CBOR, SENML_JSON, TLV),
}
"""The first is asked for first. 1.2 needs no client to know LwM2M CBOR, so SenML CBOR comes before it."""


class ObjectLink(NamedTuple):
    object_id: int
    instance_id: int


MAX_DEPTH = 8
"""Of an integer in its array and maps: five are enough."""

Value: TypeAlias = str | int | bool | bytes | ObjectLink
"""Of a resource. Integers are 64 bits at most."""


def candidates(registration: Registration) -> tuple[int, ...]:
    """Formats to ask for, one after the other while the client answers 4.06: what it was seen to answer with, what its
    root link names (``ct``), what its version lets expect."""
    by_version = _BY_VERSION.get(registration.version, _BY_VERSION[(1, 2)])
    known = set(by_version) | {LWM2M_CBOR}
    named = [each for each in registration.offer.formats if each in known and registration.version != (1, 0)]
    seen = [] if registration.format is None else [registration.format]
    return tuple(dict.fromkeys([*seen, *named, *by_version]))


def read_integer(content_format: int | None, payload: bytes) -> int | None:
    """The integer of one resource, in any of the formats; None when there is none. For states of the protocol itself,
    such as that of a firmware download."""
    return next(iter(read_integers(content_format, payload)), None)


def read_integers(content_format: int | None, payload: bytes) -> list[int]:
    """The integers of a resource that may have several instances; empty when there is none."""
    try:
        return [number for number in _numbers(content_format, payload) if -(1 << 63) <= number < 1 << 63]
    except (ValueError, TypeError, IndexError, OverflowError, cbor2.CBORError, RecursionError):
        return []


def _numbers(content_format: int | None, payload: bytes) -> Iterator[int]:
    if content_format == TLV:
        yield from _tlv_integers(payload)
    elif content_format in (SENML_JSON, JSON_1_0):
        yield from _senml_numbers(json.loads(payload))
    elif content_format == SENML_CBOR:
        yield from _senml_numbers(_untagged(payload))
    elif content_format == LWM2M_CBOR:
        yield from _leaves(_untagged(payload))
    else:
        yield int(payload.decode("ascii"))


class _NoTags(dict[int, Any]):
    """Answers every tag number with a refusal: shared references (tags 28 and 29) make an array that holds itself."""

    def __missing__(self, tag: int) -> Any:
        return _refuse


def _refuse(*_: Any) -> NoReturn:
    raise ValueError("CBOR tags are not part of a resource")


_NO_TAGS = _NoTags()


def _untagged(payload: bytes) -> Any:
    return cbor2.loads(payload, max_depth=MAX_DEPTH, semantic_decoders=_NO_TAGS, tag_hook=_refuse)


def _senml_numbers(value: Any) -> Iterator[int]:
    """Of records (label 2 or "v"), which JSON of LwM2M 1.0 has in "e"."""
    if isinstance(value, dict):
        if "e" in value:
            yield from _senml_numbers(value["e"])
        else:
            yield from _leaves(value.get(2, value.get("v")))
    elif isinstance(value, list):
        for each in value:
            yield from _senml_numbers(each)


def _leaves(value: Any) -> Iterator[int]:
    """Of the nested maps of LwM2M CBOR."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield int(value)


def _tlv_integers(payload: bytes) -> Iterator[int]:
    """LwM2M core 1.0 section 6.4.3: type, identifier of one or two bytes, length in the type or after it."""
    while payload:
        head = payload[0]
        at = 3 if head & 0x20 else 2
        length_bytes = head >> 3 & 3
        length = int.from_bytes(payload[at : at + length_bytes], "big") if length_bytes else head & 7
        end = at + length_bytes + length
        value, payload = payload[at + length_bytes : end], payload[end:]
        if head >> 6 in (0, 2):  # an object instance around its resources, a resource around its instances
            yield from _tlv_integers(value)
        elif 0 < len(value) <= 8:
            yield int.from_bytes(value, "big", signed=True)


def encode_tlv(resources: Mapping[int, Value]) -> bytes:
    """One object instance's resources."""
    return b"".join(_tlv(number, _tlv_value(value)) for number, value in sorted(resources.items()))


def _tlv_value(value: Value) -> bytes:
    if isinstance(value, bool):
        return bytes((value,))
    if isinstance(value, ObjectLink):
        return value.object_id.to_bytes(2, "big") + value.instance_id.to_bytes(2, "big")
    if isinstance(value, int):
        bytes_needed = next(n for n in (1, 2, 4, 8) if -(1 << 8 * n - 1) <= value < 1 << 8 * n - 1)
        return value.to_bytes(bytes_needed, "big", signed=True)
    return value.encode() if isinstance(value, str) else value


def _tlv(number: int, value: bytes) -> bytes:
    wide = number > 0xFF
    length = len(value)
    length_bytes = 0 if length < 8 else (length.bit_length() + 7) // 8
    head = 0xC0 | 0x20 * wide | length_bytes << 3 | (0 if length_bytes else length)
    tail = length.to_bytes(length_bytes, "big") if length_bytes else b""
    return bytes((head,)) + number.to_bytes(1 + wide, "big") + tail + value


def encode_senml_cbor(path: str, resources: Mapping[int, Value]) -> bytes:
    """RFC 8428 with base name ``path/``: labels -2 bn, 0 n, 2 v, 3 vs, 4 vb, 8 vd."""
    records: list[dict[int | str, Any]] = [
        {0: str(number), _senml_label(value): _plain(value)} for number, value in sorted(resources.items())
    ]
    if records:
        records[0] = {-2: f"{path}/", **records[0]}
    return cbor2.dumps(records)


def _senml_label(value: Value) -> int | str:
    """An object link's label is "vlo" (LwM2M core 1.1 section 7.4.4)."""
    labels: Mapping[type, int | str] = {bool: 4, int: 2, str: 3, bytes: 8, ObjectLink: "vlo"}
    return labels[type(value)]


def _plain(value: Value) -> str | int | bool | bytes:
    return f"{value.object_id}:{value.instance_id}" if isinstance(value, ObjectLink) else value


def encode_lwm2m_cbor(path: str, resources: Mapping[int, Value]) -> bytes:
    """LwM2M core 1.2 section 7.4.6: maps by object, instance and resource."""
    nested: Any = {number: _plain(value) for number, value in sorted(resources.items())}
    for part in reversed([int(part) for part in path.strip("/").split("/")]):
        nested = {part: nested}
    return cbor2.dumps(nested)


def encode_instance(content_format: int, path: str, resources: Mapping[int, Value]) -> bytes:
    """An object instance in one of TLV, SenML CBOR and LwM2M CBOR."""
    if content_format == TLV:
        return encode_tlv(resources)
    return (encode_senml_cbor if content_format == SENML_CBOR else encode_lwm2m_cbor)(path, resources)


def composite_paths(content_format: int, paths: Iterable[str]) -> bytes:
    """The payload of a composite read (FETCH, LwM2M core 1.1 section 6.3.8): SenML with names only."""
    names: Sequence[str] = list(paths)
    if content_format == SENML_JSON:
        return json.dumps([{"n": path} for path in names], separators=(",", ":")).encode()
    return cbor2.dumps([{0: path} for path in names])
