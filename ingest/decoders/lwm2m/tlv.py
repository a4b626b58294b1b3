"""OMA TLV, Content-Format 11542 (LwM2M core 1.2, section 7.4.5; 1542 before the number was registered)."""

from __future__ import annotations

from collections.abc import Iterator

from metering.errors import DecodeError

from .resource import MAX_RESOURCES, Path, Resource, of_bytes

_OBJECT_INSTANCE, _RESOURCE_INSTANCE, _MULTIPLE, _RESOURCE = range(4)
"""Bits 7 and 6 of the type byte."""


def read(payload: bytes, base: Path) -> list[Resource]:
    """The resources in the answer to a read of `base`. Raises DecodeError [tlv], [too_many_resources], [path]."""
    if not base:
        raise DecodeError("path", "TLV names no object: it needs the path that was read")
    found: list[Resource] = []
    for kind, number, value in _entries(payload):
        if kind == _OBJECT_INSTANCE:
            _instance(value, (base[0], number), found)
        else:
            _resource(kind, number, value, ((*base, 0))[:2], base[2] if len(base) > 2 else number, found)
    return found


def _instance(payload: bytes, path: Path, found: list[Resource]) -> None:
    for kind, number, value in _entries(payload):
        if kind == _OBJECT_INSTANCE:
            raise DecodeError("tlv", "an object instance within another")
        _resource(kind, number, value, path, number, found)


def _resource(kind: int, number: int, value: bytes, instance: Path, resource: int, found: list[Resource]) -> None:
    if kind == _RESOURCE:
        found.append(_typed((*instance, number), value))
    elif kind == _RESOURCE_INSTANCE:
        found.append(_typed((*instance, resource, number), value))
    else:
        for inner, inner_number, inner_value in _entries(value):
            if inner != _RESOURCE_INSTANCE:
                raise DecodeError("tlv", "a multiple resource holds something else than its instances")
            found.append(_typed((*instance, number, inner_number), inner_value))
    if len(found) > MAX_RESOURCES:
        raise DecodeError("too_many_resources", f"more than {MAX_RESOURCES} resources in one report")


def _typed(path: Path, raw: bytes) -> Resource:
    return Resource(path, of_bytes(path, raw))


def _entries(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, id and value of each entry."""
    at = 0
    while at < len(payload):
        head = payload[at]
        id_bytes = 2 if head & 0x20 else 1
        length_bytes = head >> 3 & 0x03
        value_at = at + 1 + id_bytes + length_bytes
        number = int.from_bytes(payload[at + 1 : at + 1 + id_bytes], "big")
        length = int.from_bytes(payload[at + 1 + id_bytes : value_at], "big") if length_bytes else head & 0x07
        at = value_at + length
        if at > len(payload):
            raise DecodeError("tlv", "an entry ends after the payload does")
        yield head >> 6, number, payload[value_at:at]
