"""LwM2M content formats and objects beyond the vectors: what is open, and what is hostile."""

import json
import struct

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import Decoders, Dialects, decode
from ingest.decoders.lwm2m import interval_data
from ingest.decoders.lwm2m.meanings import ALARM_OBJECTS, INTERVAL_OBJECTS, SHOWN, STATE
from ingest.decoders.lwm2m.resource import TYPES, path_of
from metering.model import ContentFormat
from tests.ingest.decoders.hostile import NOW, attempt

FIRST_S = 1_767_225_600
OBJECTS = [3, 4, 5, 6, 10, 19, 500, 3411, 3412, 3424, *range(10262, 10286), 33000]
RESOURCES = [0, 1, 2, 7, 9, 11, 13, 5518, 6013, 6025, 6029]
FORMATS = [0, 42, 50, 60, 110, 112, 1542, 11542, 11544, None]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(FIRST_S, NOW), st.integers(-5, 300), st.floats(),
    st.text(max_size=8), st.binary(max_size=12),
)  # fmt: skip
PATHS = st.one_of(
    st.tuples(st.sampled_from(OBJECTS), st.integers(0, 2), st.sampled_from(RESOURCES))
    .map(lambda ids: "/" + "/".join(map(str, ids))),
    st.sampled_from(OBJECTS).map(lambda number: f"/{number}"),
    st.text(max_size=12),
)  # fmt: skip
RECORDS = st.lists(
    st.dictionaries(st.sampled_from([-2, -3, -5, 0, 2, 3, 4, 6, 8, "n", "v", "bn", "t"]), SCALARS | PATHS, max_size=5),
    max_size=6,
)


def wrapped(*items):
    return cbor2.dumps([list(item) for item in items])


@given(st.lists(st.tuples(PATHS, st.sampled_from(FORMATS), st.binary(max_size=60)), max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_bytes_in_any_format(items):
    attempt(ContentFormat.LWM2M, wrapped(*items))


@given(RECORDS, PATHS)
@settings(max_examples=150, deadline=None)
def test_any_pack(records, path):
    attempt(ContentFormat.LWM2M, wrapped((path, 112, cbor2.dumps(records))))
    named = [{str(key): value for key, value in record.items()} for record in records]
    attempt(ContentFormat.LWM2M, wrapped((path, 110, json.dumps(named, default=str).encode())))


@given(SCALARS | RECORDS)
@settings(max_examples=100, deadline=None)
def test_any_wrapping(item):
    attempt(ContentFormat.LWM2M, cbor2.dumps(item))
    attempt(ContentFormat.LWM2M, cbor2.dumps([item, [item, item, item]]))


@given(st.recursive(SCALARS, lambda inner: st.dictionaries(st.integers(0, 70_000), inner, max_size=4), max_leaves=8))
@settings(max_examples=100, deadline=None)
def test_any_nested_map(tree):
    attempt(ContentFormat.LWM2M, wrapped(("/", 11544, cbor2.dumps(tree))))


def test_depth_and_number_of_resources_are_bounded():
    deep = {1: 1}
    for _ in range(6):
        deep = {1: deep}
    assert attempt(ContentFormat.LWM2M, wrapped(("/", 11544, cbor2.dumps(deep)))) is None
    many = b"".join(b"\xc1" + bytes([number % 256]) + b"\0" for number in range(5_000))
    assert attempt(ContentFormat.LWM2M, wrapped(("/33000/0", 11542, many))) is None


@given(st.floats(0, 16_000, width=32))
def test_a_single_float_means_its_shortest_decimal(volume):
    litres = round(volume * 1000) / 1000
    payload = wrapped(("/3424/0", 11542, b"\xc4\x01" + struct.pack(">f", litres)))
    _, report = decode(ContentFormat.LWM2M, payload, NOW)
    assert report.untimed_index_ml == round(litres * 1000) * 1000


def test_flows_become_indices_only_with_a_known_unit_and_a_reading_at_their_end():
    flows = b"\x02" + struct.pack(">HIIHB", 1, FIRST_S + 3600, 3600, 3, 1) + b"\x10" + struct.pack(">3H", 5, 0, 12)
    volume = json.dumps([{"n": "/3424/0/1", "t": FIRST_S + 3 * 3600, "v": 1.017}]).encode()
    payload = wrapped(("/10266/0/6029", 42, flows), ("/", 110, volume))
    _, unknown = decode(ContentFormat.LWM2M, payload, NOW)
    _, litres = Decoders(Dialects(flow_unit_ml=1_000)).decode(ContentFormat.LWM2M, payload, NOW)
    assert list(unknown.index_ml) == [1_017_000]
    assert list(zip(litres.ts_s, litres.index_ml, strict=True)) == [
        (FIRST_S, 1_000_000), (FIRST_S + 3600, 1_005_000), (FIRST_S + 7200, 1_005_000), (FIRST_S + 10800, 1_017_000),
    ]  # fmt: skip


def test_bits_of_values_need_not_be_whole_bytes():
    body = (5 << 24 | 1000 << 12 | 4095).to_bytes(5, "big")[-5:]
    payload = (
        b"\x02"
        + struct.pack(">HIIHB", 1, FIRST_S, 900, 3, 1)
        + b"\x0c"
        + (int.from_bytes(body, "big") << 4).to_bytes(5, "big")
    )
    (block,) = interval_data.intervals(payload, "big", NOW)
    assert block.values == [[5], [1000], [4095]]


def test_every_resource_with_a_meaning_has_a_type():
    known = {*STATE, *SHOWN, *((number, 6013) for number in ALARM_OBJECTS), *((n, 6029) for n in INTERVAL_OBJECTS)}
    assert not [what for what in known if what[1] not in TYPES.get(what[0], {})]


def test_paths_are_read_tolerantly():
    assert path_of("/3//0/7") == path_of("3/0/7/") == (3, 0, 7)
    assert path_of("/dp") == path_of("") == ()
