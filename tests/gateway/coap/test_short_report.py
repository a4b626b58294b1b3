"""The quick reading of the usual datagram against the general one: whatever it reads, both read alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coap import message as coap
from gateway.coap.message import Message, encode, parse, read_request
from gateway.coap.short_report import read_short_report


def _report(device: bytes, token: bytes, kind: int, content_format: bytes, payload: bytes) -> bytes:
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, device), (coap.CONTENT_FORMAT, content_format)]
    return encode(Message(kind, coap.POST, 0x7D34, token, options, payload))


def _agrees(datagram: bytes) -> bool:
    """Whether it was read; fails when the general reading differs."""
    short = read_short_report(datagram)
    if short is None:
        return False
    kind, echo_end, device, content_format, payload = short
    general = parse(datagram)
    assert isinstance(general, Message)
    assert (general.type, general.code, general.payload) == (kind, coap.POST, payload)
    assert general.token == datagram[4:echo_end]
    assert read_request(general.options) == coap.Request([b"r", device], content_format, None, False, None)
    return True


usual = st.builds(
    _report, st.binary(max_size=300), st.binary(max_size=8), st.sampled_from([coap.CON, coap.NON]),
    st.binary(min_size=1, max_size=1), st.binary(max_size=40),
)  # fmt: skip


def test_the_usual_report() -> None:
    for device in (b"dev", b"861234567890123", b"d" * 12, b"d" * 13, b"d" * 255):
        datagram = _report(device, b"\xbe\xef", coap.CON, b"\x3c", b"\xa0")
        assert read_short_report(datagram) == (coap.CON, 6, device, 60, b"\xa0")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d[:-2], "no payload"),
        (lambda d: d[:-1], "a marker without a payload"),
        (lambda d: b"\x62" + d[1:], "an acknowledgement"),
        (lambda d: b"\x82" + d[1:], "another version"),
        (lambda d: d[:1] + b"\x03" + d[2:], "PUT"),
        (lambda d: d.replace(b"\xb1r", b"\xb1x"), "another path"),
        (lambda d: d.replace(b"\x11\x3c", b"\x10"), "Content-Format 0"),
        (lambda d: d.replace(b"\x11\x3c", b"\x11\x3c\x31a"), "Uri-Query after it"),
    ],
)
def test_another_form_is_left_to_the_general_reading(change, why: str) -> None:
    assert read_short_report(change(_report(b"device", b"\xbe\xef", coap.CON, b"\x3c", b"\xa0"))) is None, why


@given(usual)
def test_reads_what_the_general_reading_reads(datagram: bytes) -> None:
    general = parse(datagram)
    assert isinstance(general, Message)
    request = read_request(general.options)
    assert _agrees(datagram) == (bool(general.payload) and request.bad_option is None)


@given(usual, st.data())
def test_never_reads_otherwise_what_was_changed_or_cut(datagram: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(datagram) - 1))
    changed = datagram[:at] + data.draw(st.binary(max_size=2)) + datagram[at + data.draw(st.integers(0, 3)) :]
    _agrees(changed[: data.draw(st.integers(0, len(changed)))])


@given(st.binary(max_size=64))
def test_any_bytes(datagram: bytes) -> None:
    _agrees(datagram)
    _agrees(b"\x40\x02\x00\x01\xb1r" + datagram)
