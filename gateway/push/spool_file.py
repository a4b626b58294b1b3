"""The files of the spool: what is in them, how they are read back. Pure but for reading and writing files.

A segment is a run of records ``length u32 | crc32 u32 | body``, big-endian. A record that a crash cut short ends its
segment: after a failure and after a start a new segment is begun, so nothing ever stands behind a broken record. A body
is the CBOR array of a `Kept`.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import cbor2

from metering.model import Authentication, Door
from metering.pushers import PUSHED, voucher

SUFFIX = ".spool"
HEAD = struct.Struct(">II")
MAX_RECORD_BYTES = 256 * 1024
_DOORS = {str(door): door for door in Door}
_AUTHENTICATIONS = {str(stamp): stamp for stamp in PUSHED}


class Kept(NamedTuple):
    """A report on its way to custody. `names`: what its device may be called, the likeliest first. `stamp`: one of
    metering.pushers.STAMPS."""

    report_id: bytes
    received_at_us: int
    door: Door
    names: tuple[str, ...]
    content_format: int
    payload: bytes
    source: str
    stamp: Authentication = Authentication.PUSHER

    @property
    def voucher(self) -> str:
        return voucher(self.stamp, self.source)


def record(kept: Kept) -> bytes:
    body = cbor2.dumps(list(kept))
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def records(data: bytes) -> tuple[list[Kept], int, bool]:
    """The records at the beginning of `data`, how many bytes they take, and whether what follows is broken (True) or
    merely not all here (False)."""
    found: list[Kept] = []
    at = 0
    while at + HEAD.size <= len(data):
        length, crc = HEAD.unpack_from(data, at)
        end = at + HEAD.size + length
        if length > MAX_RECORD_BYTES:
            return found, at, True
        if end > len(data):
            return found, at, False
        body = data[at + HEAD.size : end]
        kept = _kept(body) if zlib.crc32(body) == crc else None
        if kept is None:
            return found, at, True
        found.append(kept)
        at = end
    return found, at, False


def _kept(body: bytes) -> Kept | None:
    try:
        report_id, received_at_us, door, names, content_format, payload, source, *stamp = cbor2.loads(body)
        return Kept(
            bytes(report_id), int(received_at_us), _DOORS[door], tuple(map(str, names)), int(content_format),
            bytes(payload), str(source), *map(_AUTHENTICATIONS.__getitem__, stamp),  # earlier releases wrote none
        )  # fmt: skip
    except (cbor2.CBORError, ValueError, TypeError, KeyError):
        return None


def segments(directory: Path) -> list[Path]:
    """All of a directory, the oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:012d}{SUFFIX}"


def number_of(segment: Path) -> int:
    return int(segment.stem)
