"""M-Bus through a foreign library: keys, another library's opinion, and hostile frames."""

import meterbus
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import Decoders, Dialects, decode, mbus
from metering.errors import DecodeError
from metering.model import ContentFormat
from tests.ingest.decoders.hostile import NOW, attempt

ENCRYPTED = bytes.fromhex("1e44ae4c4455223368077a55041005c8a7de9bed05248f128da1b840ce99c2")
KEY = bytes(range(16))
CLEAR = bytes.fromhex("1844AE4C4455223368077A55000000041389E20100023B0000")
HEAD = bytes.fromhex("080272785634122440010755000000")


def wired(body):
    return bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])


@pytest.mark.parametrize("name", ["33225544", "SEN33225544"])
def test_a_key_opens_the_telegram_of_its_meter(name):
    decoders = Decoders(Dialects(mbus_keys={name: KEY}))
    _, report = decoders.decode(ContentFormat.WIRELESS_MBUS, ENCRYPTED, NOW)
    assert report.untimed_index_ml == 123_529_000


def test_a_wrong_key_is_refused_and_not_read_as_garbage():
    decoders = Decoders(Dialects(mbus_keys={"33225544": bytes(16)}))
    with pytest.raises(DecodeError) as caught:
        decoders.decode(ContentFormat.WIRELESS_MBUS, ENCRYPTED, NOW)
    assert caught.value.reason == "key"


@given(st.integers(0, 99_999_999), st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_another_library_reads_the_same_volume(number, exponent):
    """VIF 10–17: 10^-6 to 10 m³."""
    bcd = bytes.fromhex(f"{number:08d}")[::-1]
    frame = wired(HEAD + bytes([0x0C, 0x10 + exponent]) + bcd)
    report = attempt(ContentFormat.WIRED_MBUS, frame)
    (record,) = meterbus.TelegramLong(frame).records
    assert report.untimed_index_ml == round(float(record.value) * 1_000_000) == number * 10**exponent


@given(st.binary(max_size=240), st.sampled_from([0x72, 0x76, 0x78, 0x7A]))
@settings(max_examples=150, deadline=None)
def test_any_records(records, control_information):
    attempt(ContentFormat.WIRED_MBUS, wired((HEAD + records)[:255]))
    attempt(ContentFormat.WIRED_MBUS, wired(bytes([8, 2, control_information]) + records[:200]))
    telegram = CLEAR[1:10] + bytes([control_information]) + CLEAR[11:15] + records
    attempt(ContentFormat.WIRELESS_MBUS, bytes([len(telegram)]) + telegram)
    attempt(
        ContentFormat.WIRELESS_MBUS, bytes([len(telegram)]) + telegram, Decoders(Dialects(mbus_keys={"33225544": KEY}))
    )


def test_frames_of_other_formats_are_not_taken_for_telegrams():
    assert decode(ContentFormat.OCTET_STREAM, CLEAR, NOW)[0] == "wireless_mbus"
    for frame in (
        "68104433221100337881161f9000007766552c007766552c3101221105152021841316",
        "fefefefe681044332211003378",
    ):
        assert not mbus.recognises_wireless(bytes.fromhex(frame))
        assert not mbus.recognises_wired(bytes.fromhex(frame))


def test_a_payload_of_starts_is_read_in_bounded_time():
    attempt(ContentFormat.WIRED_MBUS, b"\x68\xff\xff\x68" * 16_000)


def test_whatever_the_library_raises_is_translated(monkeypatch):
    class PanicException(BaseException):
        """As pyo3's, which is no Exception."""

    def panic(*_, **__):
        raise PanicException("index out of bounds")

    monkeypatch.setattr(mbus.pymbusparser, "parse", panic)
    assert attempt(ContentFormat.WIRELESS_MBUS, CLEAR) is None
    monkeypatch.setattr(mbus.pymbusparser, "parse", lambda *_, **__: {"records": 1})
    assert attempt(ContentFormat.WIRELESS_MBUS, CLEAR) is None
