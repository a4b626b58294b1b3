"""Decoders described by files: those that are shipped, what a file may not say, and hostile payloads."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingest.decoders as package
from ingest.decoders import Decoders, Dialects, cjt188_vendor
from ingest.decoders.mapping import Mapping, decoder_of, load_directory, load_file
from ingest.decoders.mapping.checksums import CHECKSUMS
from metering.errors import DecodeError, SettingsError
from metering.model import ContentFormat, ReadingKind
from tests.ingest.decoders.hostile import NOW, attempt

SHIPPED = Path(package.__file__).parent / "mappings"
DECODERS = Decoders(Dialects(mappings=load_directory(SHIPPED)))
VENDOR = json.loads((Path(package.__file__).parent / "cjt188_vendor.json").read_text())["vectors"]
FIRST_S = 1_767_225_600


def outcome(decode, payload):
    try:
        return decode(payload, NOW)
    except DecodeError as error:
        return error.reason


def vendor_frame(body):
    frame = bytes.fromhex("6810") + body[:7] + bytes.fromhex("811d1f90") + body[7:34]
    return frame + bytes([sum(frame) & 0xFF, 0x16])


@pytest.mark.parametrize("vector", VENDOR, ids=[vector["why"][:50] for vector in VENDOR])
def test_the_vendors_frame_as_a_mapping_gives_what_the_decoder_gives(vector):
    payload = bytes.fromhex(vector["hex"])
    mapped = decoder_of(load_file(SHIPPED / "vendor_daily.toml"))
    for whole in (payload, b"\xfe\xfe\x00" + payload + b"\x1a\x68"):
        theirs, ours = outcome(cjt188_vendor.decode, whole), outcome(mapped.decode, whole)
        if theirs == "bcd":  # a meter number that is none: the file cannot say that it should cost the reading
            assert ours.meter_address is None
        else:
            assert ours == theirs


TWO_DIGITS = [bytes([tens << 4 | ones]) for tens in range(10) for ones in range(10)]
BODIES = st.builds(
    lambda body, clock, unit: b"".join([*body[:14], clock, *body[21:25], bytes([unit]), *body[26:]]),
    st.lists(st.sampled_from(TWO_DIGITS), min_size=34, max_size=34),
    st.sampled_from(["50172309010220", "00000001010126", "59595931061299"]).map(bytes.fromhex),
    st.integers(0, 4),
)


@given(BODIES | st.binary(min_size=34, max_size=34))
@settings(max_examples=120, deadline=None)
def test_any_body_of_the_vendors_frame_gives_the_same(body):
    mapped, payload = decoder_of(load_file(SHIPPED / "vendor_daily.toml")), vendor_frame(body)
    theirs, ours = outcome(cjt188_vendor.decode, payload), outcome(mapped.decode, payload)
    if isinstance(theirs, str) or isinstance(ours, str):
        assert theirs in ("bcd", ours)
        return
    assert ours._replace(extra={}) == theirs._replace(extra={})
    assert {name: value for name, value in theirs.extra.items() if value is not None} == dict(ours.extra)


def test_flows_lead_up_to_the_index():
    flows = [number % 7 for number in range(48)]
    frame = b"\xa5\x5a\x75" + bytes.fromhex("001234567890") + struct.pack(">IIH", FIRST_S, 5_000, 3_600)
    frame += struct.pack(">48H", *flows)
    frame += CHECKSUMS["crc16_modbus"][0](frame).to_bytes(2, "little")
    name, report = DECODERS.decode(ContentFormat.OCTET_STREAM, frame, NOW)
    assert name == "half_hourly_flows"
    assert report.kind is ReadingKind.HOURLY
    assert list(report.ts_s) == [FIRST_S - 1_800 * (48 - number) for number in range(49)]
    assert report.index_ml[0] == (5_000 - sum(flows)) * 1_000
    assert report.index_ml[-1] == 5_000_000
    assert report.index_ml[7] - report.index_ml[6] == 6_000
    assert (report.meter_address, report.state.battery_mv) == ("001234567890", 3_600)


def test_a_thing_model_of_ctwing():
    spec = load_file(SHIPPED / "ctwing_thing_model.toml").model_dump(exclude_none=True, by_alias=True)
    spec["match"]["where"]["productId"] = "42"
    decoders = Decoders(Dialects(mappings={ContentFormat.CTWING: [decoder_of(Mapping.model_validate(spec))]}))
    hourly = [{"time": f"2026-01-01 0{hour}:00:00", "reading": 12 + hour / 8} for hour in range(3)]
    model = {
        "meterReading": "12.345", "readTime": "2026-01-01 03:10:00", "meterNo": "00123", "battery_voltage": 3.58,
        "rsrp": -818, "valveStatus": 1, "lowBattery": True, "hourly": hourly, "csq": 20,
    }  # fmt: skip
    push = {"messageType": "dataReport", "topic": "v1/up/ad19", "productId": "42", "payload": model}
    name, report = decoders.decode(ContentFormat.CTWING, json.dumps(push).encode(), NOW)
    assert name == "ctwing_thing_model"
    begin = 1_767_196_800
    assert list(report.ts_s) == [begin, begin + 3_600, begin + 7_200, begin + 11_400]
    assert list(report.index_ml) == [12_000_000, 12_125_000, 12_250_000, 12_345_000]
    assert report.state[:3] == (3_580, -818, None)
    assert (report.state.alarms, report.state.valve, report.meter_address, report.extra) == (
        32,
        0,
        "00123",
        {"csq": 20},
    )
    other = json.dumps({**push, "productId": "43"}).encode()
    assert decoders.decode(ContentFormat.CTWING, other, NOW)[0] == "ctwing"


BASE = {
    "name": "test_meter", "format": "octet_stream", "match": {"bytes": [{"at": 0, "hex": "aa"}]},
    "index": {"at": 1, "bytes": 4, "ml_per_count": 1},
}  # fmt: skip


def mapped(**changes):
    return decoder_of(Mapping.model_validate({**BASE, **changes}))


def test_a_series_of_indices_is_placed_from_its_end_or_beginning():
    body = b"\xaa" + struct.pack("<I3HI", 9, 5, 6, 0xFFFF, FIRST_S + 1_234)
    time = {"at": 11, "bytes": 4, "format": "unix_s"}
    series = {
        "at": 5,
        "bytes": 2,
        "count": 3,
        "interval_s": 3_600,
        "ml_per_count": 1_000,
        "absent": [0xFFFF],
        "floor_s": 3_600,
    }
    last = mapped(time=time, series=[series]).decode(body, NOW)
    assert list(zip(last.ts_s, last.index_ml, strict=True)) == [
        (FIRST_S - 7_200, 5_000), (FIRST_S - 3_600, 6_000), (FIRST_S + 1_234, 9),
    ]  # fmt: skip
    first = mapped(time=time, series=[{**series, "anchor": "first"}]).decode(body, NOW)
    assert list(first.ts_s) == [FIRST_S, FIRST_S + 1_234, FIRST_S + 3_600]


def test_without_a_time_that_can_be_right_the_index_is_of_the_receipt_and_a_series_is_refused():
    body = b"\xaa" + struct.pack("<II", 9, 0)
    time = {"at": 5, "bytes": 4, "format": "unix_s"}
    report = mapped(time=time).decode(body, NOW)
    assert (report.untimed_index_ml, report.extra) == (9, {"implausible": {"clock": "00000000"}})
    series = {"at": 1, "count": 2, "interval_s": 60, "ml_per_count": 1}
    assert outcome(mapped(time=time, series=[series]).decode, body) == "time_range"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "No Name"}, "name"),
        ({"match": {}}, "say bytes or length"),
        ({"match": {"length": 5, "where": {"a": "b"}}, "format": "json"}, "JSON has no bytes"),
        ({"index": {"at": 1}}, "one of ml_per_count and ml_per_count_by"),
        ({"index": {"at": 1, "path": "x", "ml_per_count": 1}}, "exactly one of at, path and constant"),
        ({"index": {"at": 1, "ml_per_count": "NaN"}}, "index.ml_per_count"),
        ({"alarms": [{"at": 1, "alarm": "earthquake"}]}, "no alarm 'earthquake'; there are leak"),
        ({"state": {"valve": {"at": 1}}}, "no state valve"),
        ({"valve": {"at": 1, "map": {"0": "ajar"}}}, "valve.map.0"),
        ({"time": {"at": 1, "format": "bcd_digits", "order": "YY XX"}}, "order names the bytes"),
        ({"series": [{"at": 1, "ml_per_count": 1, "interval_s": 60}]}, "one of count and count_at"),
        ({"series": [{"at": 1, "count": 1, "ml_per_count": 1, "interval_s": 60}]}, "needs the report's time"),
        ({"match": {"length": 9, "checksum": {"kind": "md5", "end": 8, "at": 8}}}, "no checksum 'md5'"),
        ({"match": {"search": True, "bytes": [{"at": 0, "hex": "68"}]}}, "search needs the length"),
        ({"extra": {"results": {"at": 1}}}, "the platform's own"),
        ({"colour": "blue"}, "Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_work_is_refused_with_its_place(tmp_path, changes, said):
    path = tmp_path / "meter.toml"
    path.write_text("\n".join(toml(name, value) for name, value in {**BASE, **changes}.items()))
    with pytest.raises(SettingsError) as caught:
        load_directory(tmp_path)
    assert "meter.toml" in str(caught.value)
    assert said in str(caught.value)


def toml(name, value):
    return f"{name} = {inline(value)}"


def inline(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else json.dumps(value)


def test_a_directory_without_sense_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no directory"):
        load_directory(tmp_path / "nowhere")
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text((SHIPPED / "vendor_daily.toml").read_text())
    with pytest.raises(SettingsError, match="vendor_daily is that of"):
        load_directory(tmp_path)
    (tmp_path / "b.toml").write_text("name = ")
    with pytest.raises(SettingsError, match=r"b\.toml"):
        load_directory(tmp_path)


@given(st.binary(max_size=130), st.sampled_from([b"\xa5\x5a", b"\x68", b""]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_through_the_shipped_files(payload, begin):
    attempt(ContentFormat.OCTET_STREAM, (begin + payload), DECODERS)
    frame = (begin + payload).ljust(115, b"\0")[:115]
    attempt(ContentFormat.OCTET_STREAM, frame + CHECKSUMS["crc16_modbus"][0](frame).to_bytes(2, "little"), DECODERS)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=6), st.integers(0, 2**33),
    st.sampled_from(["2026-01-01 00:00:00", "1e400", "99999999999999999999999"]),
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(
            ["meterReading", "readTime", "meterNo", "rsrp", "ecl", "hourly", "valveStatus", "lowBattery", "csq"]
        ),
        LEAVES | st.lists(st.dictionaries(st.sampled_from(["time", "reading"]), LEAVES), max_size=4),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_thing_model(model):
    push = {"messageType": "dataReport", "topic": "v1/up/ad19", "productId": "your product", "payload": model}
    attempt(ContentFormat.CTWING, json.dumps(push).encode(), DECODERS)


@pytest.mark.parametrize(
    ("kind", "check"),
    [("crc16_modbus", 0x4B37), ("crc16_ccitt_false", 0x29B1), ("crc16_xmodem", 0x31C3), ("sum8", 0xDD)],
)
def test_checksums_give_the_published_check_values(kind, check):
    assert CHECKSUMS[kind][0](b"123456789") == check
