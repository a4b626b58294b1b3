"""The envelope: how raw reports travel from the gateway to ingest (DESIGN section 3).

One JetStream message holds one batch, a CBOR array::

    [1, {door: repeats}, [report, ...]]
    report = [report_id, received_at_us, door, authentication, device, content_format, payload, source]

`repeats` counts retransmissions the gateway answered from memory since its previous batch, per door: they are not
stored again, yet accounting shows them. The header ``Nbwater-Reports`` carries the number of reports, so that the
backlog can be counted without reading it.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cbor2

from metering.errors import EnvelopeError
from metering.model import Authentication, Door

VERSION = 1
REPORTS_HEADER = "Nbwater-Reports"
MAX_BATCH_BYTES = 512 * 1024
MAX_PAYLOAD_BYTES = 64 * 1024


_DOORS = {str(door): door for door in Door}
_AUTHENTICATIONS = {str(authentication): authentication for authentication in Authentication}


class Report(NamedTuple):
    """A raw report in custody. `report_id` is 16 bytes: 48 bits of milliseconds, then 80 random bits (as UUIDv7)."""

    report_id: bytes
    received_at_us: int
    door: Door
    authentication: Authentication
    device: str
    content_format: int
    payload: bytes
    source: str


class Batch(NamedTuple):
    repeats: dict[str, int]
    reports: list[Report]


def mint_report_id(received_at_us: int) -> bytes:
    """A new 16-byte identity, shaped as UUIDv7 (RFC 9562), that sorts by time."""
    tail = bytearray(random.getrandbits(80).to_bytes(10, "big"))
    tail[0] = 0x70 | (tail[0] & 0x0F)
    tail[2] = 0x80 | (tail[2] & 0x3F)
    return (received_at_us // 1000).to_bytes(6, "big") + bytes(tail)


def encode(reports: Sequence[Report], repeats: Mapping[str, int] | None = None) -> bytes:
    """The message body of one batch."""
    return cbor2.dumps([VERSION, dict(repeats or {}), [list(report) for report in reports]])


def decode(body: bytes) -> Batch:
    """The batch in a message body. Raises EnvelopeError when it is not one; never anything else."""
    try:
        version, repeats, rows = cbor2.loads(body)
        if version != VERSION:
            raise EnvelopeError(f"envelope version {version!r} is not {VERSION}")
        return Batch(dict(repeats), [_report(row) for row in rows])
    except EnvelopeError:
        raise
    except Exception as error:
        raise EnvelopeError(f"not an envelope: {error}") from error


def _report(row: list[object]) -> Report:
    report_id, received_at_us, door, authentication, device, content_format, payload, source = row
    if not (isinstance(report_id, bytes) and len(report_id) == 16 and isinstance(payload, bytes)):
        raise EnvelopeError("report_id must be 16 bytes and payload bytes")
    if not (isinstance(received_at_us, int) and isinstance(content_format, int)):
        raise EnvelopeError("received_at_us and content_format must be integers")
    return Report(
        report_id, received_at_us, _DOORS[str(door)], _AUTHENTICATIONS[str(authentication)], str(device),
        content_format, payload, str(source),
    )  # fmt: skip


def partition(device: str, partitions: int) -> int:
    """The partition of a device: stable over processes and restarts (Python's hash is not)."""
    return zlib.crc32(device.encode()) % partitions
