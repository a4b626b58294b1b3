"""The object links of a registration (RFC 6690 link format; LwM2M core 1.2 section 6.2.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

MAX_LINKS = 256
"""Real clients offer fewer than fifty; what is beyond is left out."""

MAX_PATH = 40
MAX_FORMAT_DIGITS = 5
"""A Content-Format has 16 bits (RFC 7252 section 12.3)."""
_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^\s=;,<>]+(?:\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;,\"<>]*))?)*)")
_ATTRIBUTE = re.compile(r";\s*([^\s=;,<>]+)(?:\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s;,\"<>]*))?")
_OBJECT_PATH = re.compile(r"/\d{1,5}(?:/\d{1,5}){0,3}")


class Link(NamedTuple):
    path: str
    attributes: Mapping[str, str]


class Offer(NamedTuple):
    """What a client offers. `paths`: ``/3/0`` or, of an object without instances, ``/2``, below the client's root.
    `root`: alternate root path (``rt="oma.lwm2m"``), empty for none. `formats`: Content-Formats the root names."""

    paths: tuple[str, ...]
    root: str = ""
    formats: tuple[int, ...] = ()

    def instances(self, object_id: int) -> tuple[str, ...]:
        """Paths of the object's instances; of an object that names none, instance 0 when the object itself is there."""
        own = tuple(path for path in self.paths if path.startswith(f"/{object_id}/"))
        return own or ((f"/{object_id}/0",) if f"/{object_id}" in self.paths else ())

    def has(self, object_id: int) -> bool:
        return bool(self.instances(object_id))


def links(text: str) -> Iterator[Link]:
    """Every link that can be read, whatever stands between; at most MAX_LINKS."""
    for count, match in enumerate(_LINK.finditer(text)):
        if count == MAX_LINKS:
            return
        attributes = {name.lower(): value.strip('"') for name, value in _ATTRIBUTE.findall(match[2])}
        yield Link(match[1].strip(), attributes)


def read_offer(payload: bytes) -> Offer:
    """The offer in a registration's payload. Never raises: what is no object path is left out."""
    root, targets = "", []
    formats: tuple[int, ...] = ()
    for link in links(payload.decode("utf-8", "replace")):
        if "oma.lwm2m" in link.attributes.get("rt", "").split():
            root = link.path.rstrip("/")
            words = link.attributes.get("ct", "").split()
            formats = tuple(int(word) for word in words if word.isdecimal() and len(word) <= MAX_FORMAT_DIGITS)[:8]
        else:
            targets.append(link.path)
    paths = (_below(root, target) for target in targets)
    return Offer(tuple(dict.fromkeys(path for path in paths if path is not None)), root, formats)


def _below(root: str, target: str) -> str | None:
    path = "/" + target.removeprefix(root).strip("/") if root else "/" + target.strip("/")
    return path if len(path) <= MAX_PATH and _OBJECT_PATH.fullmatch(path) else None
