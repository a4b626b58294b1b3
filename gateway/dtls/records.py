"""DTLS records and the handshake messages in them, as far as they are in the clear (RFC 6347). Pure.

Readers take any bytes and return what they could read, never raise.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE, CLIENT_KEY_EXCHANGE = 1, 2, 12, 14, 16

HEADER = struct.Struct("!BHQH")
"""Section 4.1: type, version, epoch (16 bits) and sequence number (48), length."""
HEADER_BYTES = 13
VERSION_1_2 = 0xFEFD
_VERSIONS = frozenset((0xFEFF, VERSION_1_2))
"""A ClientHello is sent in records of version 1.0 (section 4.2.1)."""
MAX_SEQUENCE = (1 << 48) - 1
_MESSAGE_HEADER_BYTES = 12
_RANDOM_BYTES = 32
_EXTENDED_MASTER_SECRET = 23
"""RFC 7627 section 5.1."""


class Record(NamedTuple):
    type: int
    epoch: int
    sequence: int
    fragment: bytes


class Fragment(NamedTuple):
    """A part, mostly the whole, of a handshake message (section 4.2.2). `length`: of the whole body."""

    type: int
    length: int
    message_seq: int
    offset: int
    body: bytes


class ClientHello(NamedTuple):
    random: bytes
    has_cookie: bool
    suites: frozenset[int]


class ServerHello(NamedTuple):
    random: bytes
    suite: int
    extended_master_secret: bool


def read_records(datagram: bytes) -> list[Record]:
    """The records of a datagram up to the first that is none."""
    records, at = [], 0
    while len(datagram) - at >= HEADER_BYTES:
        kind, version, number, length = HEADER.unpack_from(datagram, at)
        start, at = at + HEADER_BYTES, at + HEADER_BYTES + length
        if (
            at > len(datagram)
            or not CHANGE_CIPHER_SPEC <= kind <= APPLICATION_DATA
            or not _is_dtls(version, kind, number)
        ):
            break
        records.append(Record(kind, number >> 48, number & MAX_SEQUENCE, datagram[start:at]))
    return records


def _is_dtls(version: int, kind: int, number: int) -> bool:
    """RFC 5246 appendix E.1 wants any minor version taken with a ClientHello: mbedTLS 2.28 as Anjay configures it says
    0xFE00 before it has heard from the server."""
    return version in _VERSIONS or (kind == HANDSHAKE and number >> 48 == 0 and version >> 8 == VERSION_1_2 >> 8)


def split_into_datagrams(stream: bytes, mtu_bytes: int) -> Iterator[bytes]:
    """Whole records, several to a datagram where they fit; one that is larger alone travels alone."""
    start = at = 0
    while len(stream) - at >= HEADER_BYTES:
        end = at + HEADER_BYTES + int.from_bytes(stream[at + 11 : at + 13], "big")
        if end - start > mtu_bytes and at > start:
            yield stream[start:at]
            start = at
        at = end
    if start < len(stream):
        yield stream[start:]


def read_fragments(record: Record) -> list[Fragment]:
    """Handshake messages of a record in the clear, up to the first that is none."""
    data, fragments, at = record.fragment, [], 0
    if record.type != HANDSHAKE or record.epoch:
        return []
    while len(data) - at >= _MESSAGE_HEADER_BYTES:
        kind, length = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        message_seq = int.from_bytes(data[at + 4 : at + 6], "big")
        offset, size = int.from_bytes(data[at + 6 : at + 9], "big"), int.from_bytes(data[at + 9 : at + 12], "big")
        start, at = at + _MESSAGE_HEADER_BYTES, at + _MESSAGE_HEADER_BYTES + size
        if at > len(data) or offset + size > length:
            break
        fragments.append(Fragment(kind, length, message_seq, offset, data[start:at]))
    return fragments


def message_bytes(fragment: Fragment, body: bytes) -> bytes:
    """The message as the handshake hash sees it: as if it had come in one fragment (section 4.2.6)."""
    length = len(body).to_bytes(3, "big")
    return bytes((fragment.type,)) + length + fragment.message_seq.to_bytes(2, "big") + bytes(3) + length + body


def find_client_hello(record: Record) -> ClientHello | None:
    """The ClientHello that this record begins with, if it is whole and well-formed."""
    fragments = read_fragments(record)
    if not fragments or fragments[0].type != CLIENT_HELLO or len(fragments[0].body) != fragments[0].length:
        return None
    return read_client_hello(fragments[0].body)


def read_client_hello(body: bytes) -> ClientHello | None:
    """RFC 6347 section 4.2.1; None for anything else."""
    session_id = _vector(body, 2 + _RANDOM_BYTES, 1)
    cookie = session_id and _vector(body, session_id[1], 1)
    suites = cookie and _vector(body, cookie[1], 2)
    if not suites or not cookie or len(suites[0]) % 2:
        return None
    offered = struct.unpack(f"!{len(suites[0]) // 2}H", suites[0])
    return ClientHello(body[2 : 2 + _RANDOM_BYTES], bool(cookie[0]), frozenset(offered))


def read_server_hello(body: bytes) -> ServerHello | None:
    """RFC 5246 section 7.4.1.3; None for anything else."""
    session_id = _vector(body, 2 + _RANDOM_BYTES, 1)
    if session_id is None or len(body) < session_id[1] + 3:
        return None
    at = session_id[1]
    suite = int.from_bytes(body[at : at + 2], "big")
    return ServerHello(body[2 : 2 + _RANDOM_BYTES], suite, _EXTENDED_MASTER_SECRET in _extensions(body, at + 3))


def _extensions(body: bytes, at: int) -> Collection[int]:
    """Types of the extensions that begin at `at`."""
    listed, types, at = _vector(body, at, 2), set(), 0
    while listed and len(listed[0]) - at >= 4:
        types.add(int.from_bytes(listed[0][at : at + 2], "big"))
        at += 4 + int.from_bytes(listed[0][at + 2 : at + 4], "big")
    return types


def _vector(body: bytes, at: int, length_bytes: int) -> tuple[bytes, int] | None:
    """A vector with its length in front (RFC 5246 section 4.3), and where it ends; None when it does not fit."""
    start = at + length_bytes
    end = start + int.from_bytes(body[at:start], "big")
    return (body[start:end], end) if start <= len(body) and end <= len(body) else None
