"""The simulators' payloads against the vectors of PROTOCOLS A and G and the platform's own decoders."""

import itertools
import json

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders import decode
from metering.model import ContentFormat
from simulators import payloads
from simulators.payloads import CborDays, Report

VECTOR = (
    "ac0001011912670281841a6955b900190e101a0001e240970c00000003182d1850160a050007181e0c0400091829183c18211206020303"
    "04190e1c0539043e06182d07010818b609000a000b1a69570a7f"
)
RECEIVED_S = 1_790_000_000
STATE = {
    "battery_mv": 3612, "rsrp_ddbm": -1087, "snr_ddb": 45, "ecl": 1, "temperature_dc": 182, "valve": 0, "alarms": 0,
    "sent_at": 1767311999,
}  # fmt: skip

readings = st.lists(
    st.tuples(st.integers(1_300_000_000, 1_780_000_000), st.integers(0, 4_000_000_000)),
    min_size=1,
    max_size=60,
    unique_by=lambda pair: pair[0],
).map(sorted)
day = st.integers(1_300_000_000, 1_780_000_000).flatmap(
    lambda t0: st.lists(st.integers(0, 4_000_000), min_size=24, max_size=24).map(
        lambda litres: [(t0 + 3600 * n, litre) for n, litre in enumerate(litres)]
    )
)


def test_the_vector_of_the_protocol_is_what_we_encode():
    fields = cbor2.loads(bytes.fromhex(VECTOR))
    t0, interval, index, deltas = fields[2][0]
    series = [(t0, index)]
    for delta in deltas:
        series.append((series[-1][0] + interval, series[-1][1] + delta))
    assert payloads.encode_cbor(Report(fields[1], series, STATE)).hex() == VECTOR


@given(readings, st.integers(0, 2**32 - 1))
def test_native_formats_carry_any_readings_exactly(series, seq):
    report = Report(seq, series, {"rsrp_ddbm": -900})
    for content_format, encoder in ((60, payloads.encode_cbor), (50, payloads.encode_json)):
        _, decoded = decode(content_format, encoder(report), RECEIVED_S)
        assert decoded.seq == seq
        assert list(zip(decoded.ts_s, decoded.index_ml, strict=True)) == [(ts, litre * 1000) for ts, litre in series]


@given(readings)
def test_split_reports_fit_and_lose_nothing(series):
    parts = payloads.split_to_fit(Report(0, series, {}), ContentFormat.JSON, 7)
    assert all(len(payload) <= payloads.MAX_DATAGRAM_PAYLOAD for _, payload in parts)
    assert [json.loads(payload)["seq"] for _, payload in parts] == list(range(7, 7 + len(parts)))
    assert [reading for part, _ in parts for reading in part.readings] == series


@given(day, st.integers(0, 2**32 - 1))
def test_the_fast_encoder_says_the_same_as_the_plain_one(series, seq):
    deltas = [after[1] - before[1] for before, after in itertools.pairwise(series)]
    fast = CborDays(3600, deltas, STATE).encode(seq, *series[0])
    assert cbor2.loads(fast) == cbor2.loads(payloads.encode_cbor(Report(seq, series, STATE)))


def test_the_vendor_frame_seen_in_the_field():
    """PROTOCOLS A; only volume and sample unit differ: 24.70 m³ was sent as 2470 × 0.01, we send 24700 × 1 L."""
    seen = "681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16"
    ours = payloads.encode_vendor_daily("434045073902", 1581261470, 24_700, 3648, 15).hex()
    assert ours[:54] == seen[:54]
    assert ours[54:64] == "7c60000003"
    assert ours[64:-4] == seen[64:-4]


@given(st.from_regex(r"\A[0-9]{12}\Z"), st.integers(1_300_000_000, 1_780_000_000), st.integers(0, 99_999_999))
def test_frames_of_cjt_188(serial, ts_s, litres):
    vendor = payloads.encode_vendor_daily(serial, ts_s, litres)
    standard = payloads.encode_901f(serial, ts_s, litres)
    for frame in (vendor, standard):
        assert sum(frame[:-2]) & 0xFF == frame[-2]
        assert len(frame) == 13 + frame[10]
    _, decoded = decode(42, vendor, RECEIVED_S)
    assert (decoded.ts_s, decoded.index_ml, decoded.meter_address) == ([ts_s], [litres * 1000], serial)
    _, decoded = decode(42, standard, ts_s)
    assert (decoded.ts_s, decoded.index_ml) == ([ts_s], [litres // 10 * 10_000])
    assert decoded.meter_address == "00" + serial


@given(st.integers(0, 99_999))
def test_the_vendors_frame_says_the_pressure_in_steps_of_ten_kilopascals(pressure_kpa):
    frame = payloads.encode_vendor_daily("434045073902", 1_581_261_470, 24_700, pressure_kpa=pressure_kpa)
    _, decoded = decode(42, frame, RECEIVED_S)
    assert decoded.state.pressure_kpa == pressure_kpa // 10 * 10
