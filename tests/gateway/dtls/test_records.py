"""Readers of records and handshake messages: what they read, and that no bytes trouble them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.dtls.records import (
    HANDSHAKE,
    HEADER,
    Record,
    find_client_hello,
    read_client_hello,
    read_fragments,
    read_records,
    read_server_hello,
    split_into_datagrams,
)
from gateway.dtls.transcript import Transcript

# A ClientHello of Mbed TLS without cookie, and the first flight with which Mbed TLS answered it.
CLIENT_HELLO = bytes.fromhex(
    "16feff0000000000000000005c010000500000000000000050fefd"
    + "6b0a1a59e5b3f26d3caeee17e6c3a406c769588915cd39b567421dafe16902bf"
    "00000004c0a800ff01000022000d000e000c0603060105030501040304010016000000170000002300000000ff"
)[:105]
FIRST_FLIGHT = bytes.fromhex(
    "16fefd0000000000000001005d020000510001000000000051fefd6b0a1a59e5b3f26d3caeee17e6c3a406c769588915cd39b567421dafe1"
    "6902bf20053985754b9291a4ec30730ccb220a4dd0379c560d69555ec3ae9bd4943814bfc0a8000009ff010001000017000016fefd000000"
    "0000000002000c0e0000000002000000000000"
)


def record(fragment: bytes, number: int = 0) -> bytes:
    return HEADER.pack(HANDSHAKE, 0xFEFD, number, len(fragment)) + fragment


def test_the_records_of_a_flight() -> None:
    first, second = read_records(FIRST_FLIGHT)
    assert (first.type, first.epoch, first.sequence, len(first.fragment)) == (22, 0, 1, 93)
    assert (second.type, second.epoch, second.sequence, len(second.fragment)) == (22, 0, 2, 12)
    (hello,) = read_fragments(first)
    server = read_server_hello(hello.body)
    assert server is not None
    assert (server.suite, server.extended_master_secret, server.random[:4].hex()) == (0xC0A8, True, "6b0a1a59")


def test_a_client_hello() -> None:
    hello = find_client_hello(Record(22, 0, 0, CLIENT_HELLO[13:]))
    assert hello is None  # the announced 80 bytes are not there: it is cut
    body = b"\xfe\xfd" + bytes(range(32)) + b"\0" + b"\x02ab" + b"\0\x04\xc0\xa8\0\xff" + b"\x01\0"
    read = read_client_hello(body)
    assert read is not None
    assert (read.random, read.has_cookie, read.suites) == (bytes(range(32)), True, {0xC0A8, 0xFF})
    assert read_client_hello(body[:40]) is None


def test_records_travel_whole() -> None:
    stream = b"".join(record(bytes(size)) for size in (100, 100, 500, 10))
    assert [len(datagram) for datagram in split_into_datagrams(stream, 300)] == [226, 513, 23]
    assert b"".join(split_into_datagrams(stream, 300)) == stream


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for read in read_records(data):
        read_fragments(read)
    find_client_hello(Record(HANDSHAKE, 0, 0, data))
    read_client_hello(data)
    read_server_hello(data)
    assert b"".join(split_into_datagrams(data, 50)) == (data if len(data) >= 13 or data else b"")


@given(st.lists(st.binary(max_size=60), max_size=5), st.binary(max_size=80))
def test_a_transcript_of_anything(fragments: list[bytes], data: bytes) -> None:
    transcript = Transcript()
    transcript.client_sent(b"".join(record(fragment, n) for n, fragment in enumerate(fragments)))
    transcript.server_sent(record(data))
    assert transcript.keys(b"key") is None


@given(st.binary(min_size=1, max_size=300), st.integers(1, 50))
def test_any_split_keeps_the_bytes(data: bytes, size: int) -> None:
    stream = b"".join(record(data[at : at + size]) for at in range(0, len(data), size))
    assert b"".join(split_into_datagrams(stream, 100)) == stream
