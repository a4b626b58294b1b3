"""Whatever comes in, a decoder returns a report that the database takes, or DecodeError."""

import json

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import decode
from metering.errors import DecodeError
from tests.ingest.decoders.hostile import NOW, attempt

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(2**60, 2**70), st.floats(), st.text(max_size=8),
    st.binary(max_size=8), st.integers(1_700_000_000, 1_800_000_000),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(0, 20), inner),
    max_leaves=12,
)  # fmt: skip
BLOCKS = st.lists(st.tuples(SCALARS, SCALARS, SCALARS, st.lists(SCALARS, max_size=4)).map(list), max_size=3)
FIELDS = st.fixed_dictionaries(
    {0: st.just(1)}, optional={2: BLOCKS | VALUES, 3: SCALARS, **dict.fromkeys((*range(4, 15), 1, "x", -1), VALUES)}
)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes(payload):
    for content_format in (42, 50, 60, 0, *range(65_100, 65_125)):
        attempt(content_format, payload)


@given(FIELDS)
@settings(max_examples=400, deadline=None)
def test_any_fields_in_cbor(fields):
    attempt(60, cbor2.dumps(fields))


@pytest.mark.parametrize(
    "name", ["implausible", "inner_decoder", "services", "settlement_index_ml", "tasks", "undecoded"]
)
def test_a_device_has_no_words_where_the_platform_has_its_own(name):
    report = attempt(50, json.dumps({"v": 1, name: 5}).encode())
    assert report.extra == attempt(60, cbor2.dumps({0: 1, name: 5})).extra == {f"key_{name}": 5}


NAMES = ("v", "seq", "blocks", "scale", "battery_mv", "rsrp_ddbm", "snr_ddb", "ecl", "temperature_dc", "valve")


@given(FIELDS)
@settings(max_examples=400, deadline=None)
def test_any_fields_in_json(fields):
    named = {NAMES[key] if isinstance(key, int) and 0 <= key < len(NAMES) else str(key): v for key, v in fields.items()}
    attempt(50, json.dumps(named, default=str).encode())


@given(st.binary(max_size=40), st.data())
@settings(max_examples=300, deadline=None)
def test_any_frame_body(body, data):
    address = data.draw(st.binary(min_size=7, max_size=7))
    control, di = (
        data.draw(st.sampled_from([0x81, 0xC1, 0x83, 0x84, 1])),
        data.draw(st.sampled_from(["901f", "1f90", "a017"])),
    )
    content = bytes.fromhex(di) + b"\0" + body
    frame = b"\x68\x10" + address + bytes([control, len(content)]) + content
    attempt(42, frame + bytes([sum(frame) & 255, 0x16]))


@pytest.mark.parametrize("tag", range(300))
def test_no_tag_is_followed(tag):
    payload = cbor2.dumps({0: 1, 99: None})[:-1] + cbor2.dumps(cbor2.CBORTag(tag, [99_999_999, 1]))
    with pytest.raises(DecodeError) as caught:
        decode(60, payload, NOW)
    assert caught.value.reason == "cbor"


@pytest.mark.parametrize("payload", [b"[" * 60_000, b'{"v":1,"x":' + b"[" * 900 + b"]" * 900 + b"}", b"\x81" * 60_000])
def test_depth_is_bounded(payload):
    for content_format in (50, 60):
        attempt(content_format, payload)


def test_long_integers_are_bounded():
    attempt(50, b'{"v":1,"blocks":[[' + b"9" * 4_000 + b",1," + b"9" * 4_000 + b",[1]]]}")
    attempt(50, b'{"v":1,"blocks":[[1767225600,3600,' + b"9" * 5_000 + b",[1]]]}")


def test_a_payload_of_starts_is_read_in_bounded_time():
    attempt(42, b"\x68\x10" * 2_000)
    attempt(42, b"\x68" * 70_000)
