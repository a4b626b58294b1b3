"""What an LwM2M client's bytes say, by their Content-Format (LwM2M core 1.2, section 7.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from metering.errors import DecodeError

from .. import plain_cbor
from . import senml, tlv
from .resource import MAX_RESOURCES, Path, Resource, of_bytes, of_text

TEXT, OPAQUE, SENML_JSON, SENML_CBOR = 0, 42, 110, 112
TLV, OLD_TLV, LWM2M_CBOR = 11_542, 1_542, 11_544
OLD_TEXT, OLD_OPAQUE = 1_541, 1_544
"""Numbers of LwM2M 1.0 drafts that modules still use."""

MAX_TEXT_BYTES: Final = 65_536


def read(payload: bytes, content_format: int | None, path: Path, received_at_s: int) -> list[Resource]:
    """The resources in what a client notified, sent or answered for `path`.

    Raises DecodeError as the formats say; [path] where single values are given for no resource.
    """
    if content_format in (TLV, OLD_TLV):
        return tlv.read(payload, path)
    if content_format == SENML_JSON:
        return senml.read_json(payload, path, received_at_s)
    if content_format == SENML_CBOR:
        return senml.read_cbor(payload, path, received_at_s)
    if content_format == LWM2M_CBOR:
        return _read_lwm2m_cbor(payload)
    if len(path) < 3:
        raise DecodeError("path", f"Content-Format {content_format} carries one value, the path names no resource")
    if content_format in (TEXT, OLD_TEXT):
        return [Resource(path, _text(path, payload))]
    return [Resource(path, payload if content_format in (OPAQUE, OLD_OPAQUE) else of_bytes(path, payload))]


def _text(path: Path, payload: bytes) -> Any:
    try:
        return of_text(path, payload[:MAX_TEXT_BYTES].decode())
    except UnicodeDecodeError:
        return payload


def _read_lwm2m_cbor(payload: bytes) -> list[Resource]:
    """Nested maps by id, or by arrays of ids (section 7.4.9)."""
    document = plain_cbor.load(payload)
    if not isinstance(document, dict):
        raise DecodeError("cbor", "LwM2M CBOR is a map")
    found = []
    for path, value in _leaves(document, ()):
        if not 3 <= len(path) <= 4:
            raise DecodeError("path", f"{'/'.join(map(str, path))[:60]} names no resource")
        found.append(Resource(path, senml.exact(value, payload)))
        if len(found) > MAX_RESOURCES:
            raise DecodeError("too_many_resources", f"more than {MAX_RESOURCES} resources in one report")
    return found


def _leaves(branch: dict[Any, Any], above: Path) -> Iterator[tuple[Path, Any]]:
    for key, value in branch.items():
        ids = key if isinstance(key, tuple) else (key,)
        if len(above) + len(ids) > 4 or not all(type(part) is int and 0 <= part < 65_536 for part in ids):
            raise DecodeError("path", "a key of LwM2M CBOR is no id")
        path = above + ids
        if isinstance(value, dict):
            yield from _leaves(value, path)
        elif value is not None:
            yield path, value
