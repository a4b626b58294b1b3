"""Pushes of platforms: hostile documents, and what is open in their numbers."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import decode
from ingest.decoders.push import radio
from metering.model import ContentFormat
from tests.ingest.decoders.hostile import NOW, attempt

FRAME = "681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16"
WORDS = (
    "messageType", "topic", "timestamp", "payload", "APPdata", "serviceId", "serviceData", "MeterData", "items",
    "amount", "time", "readTime", "valveStatus", "timeOfReading", "intervalFlow", "cumulativeFlow",
    "intervalFlowStartingTime",
    "flowIntervral", "rsrp", "sinr", "ecl", "batteryVoltage", "notifyType", "service", "services", "data", "eventTime",
    "resource", "event", "notify_data", "header", "body", "properties", "content", "alarmName", "status", "taskId",
    "result", "resultCode", "eventContent", "meterCode", "voltage",
)  # fmt: skip
TEXTS = (
    "dataReport", "eventReport", "commandResponse", "deviceDatasChanged", "device.property", "device.message", FRAME,
    base64.b64encode(bytes.fromhex(FRAME)).decode(), "20200206T050809Z", "2020-09-18 11:34:24", "1e999", "9" * 50, "{",
    '{"v":1,"blocks":[[1767225600,3600,1,[1]]]}', "99999999", "20209999T999999Z", "0" * 14,
)  # fmt: skip
NAMES = st.sampled_from(WORDS)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(1_500_000_000, NOW), st.floats(allow_nan=False),
    st.text(max_size=9), st.sampled_from(TEXTS),
)  # fmt: skip
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=14
)
FORMATS = (ContentFormat.CTWING, ContentFormat.OCEANCONNECT, ContentFormat.IOTDA)


@given(TREES, st.sampled_from(["dataReport", "eventReport", "commandResponse", "deviceOnlineOfflineReport"]))
@settings(max_examples=150, deadline=None)
def test_any_document(tree, kind):
    whole = {"messageType": kind, "payload": tree, "eventContent": tree, "timestamp": 1_606_093_200_000}
    attempt(ContentFormat.CTWING, json.dumps(whole).encode())
    service = {"serviceId": "s", "data": tree, "eventTime": "20200206T050809Z"}
    attempt(ContentFormat.OCEANCONNECT, json.dumps({"notifyType": "deviceDataChanged", "service": service}).encode())
    body = {"services": [{"service_id": "s", "properties": tree}], "content": tree}
    for resource in ("device.property", "device.message"):
        attempt(ContentFormat.IOTDA, json.dumps({"resource": resource, "notify_data": {"body": body}}).encode())
    for content_format in FORMATS:
        attempt(content_format, json.dumps(tree).encode())


@given(st.dictionaries(NAMES, TREES, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_meter_data(data):
    for service in ({"MeterData": data}, data, {"MeterData": json.dumps(data)}):
        push = {"messageType": "dataReport", "payload": {"serviceId": "x", "serviceData": service}}
        attempt(ContentFormat.CTWING, json.dumps(push).encode())


def test_frames_and_services_are_bounded():
    data = {str(number): "6810" * 2_000 for number in range(60)}
    push = {"notifyType": "deviceDataChanged", "services": [{"serviceId": str(n), "data": data} for n in range(64)]}
    attempt(ContentFormat.OCEANCONNECT, json.dumps(push).encode())
    push["services"] *= 2
    assert attempt(ContentFormat.OCEANCONNECT, json.dumps(push).encode()) is None


@pytest.mark.parametrize(
    ("value", "millivolts"),
    [(3.6, 3600), ("3.58", 3580), (358, 3580), (3612, 3612), (0, None), ("x", None), (1e9, None)],
)
def test_a_battery_is_in_volts_hundredths_or_millivolts(value, millivolts):
    assert radio.battery_mv(value) == millivolts


@pytest.mark.parametrize(
    ("data", "power", "noise"),
    [
        ({"rsrp": -818, "sinr": 162}, -818, 162),
        ({"rsrp": "-98", "sinr": 7}, -980, 70),
        ({"rsrp": -1087, "sinr": 15}, -1087, 15),
        ({"sinr": 45}, None, 45),
        ({"rsrp": 0}, None, None),
    ],
)
def test_power_and_noise_are_in_decibels_or_tenths(data, power, noise):
    assert (radio.state(data).rsrp_ddbm, radio.state(data).snr_ddb) == (power, noise)


def test_an_index_of_a_late_push_is_of_its_time():
    frame = "6810010000050800008116901f00002301002c000000002c0000000000000000004816"
    push = {"messageType": "dataReport", "payload": {"APPdata": base64.b64encode(bytes.fromhex(frame)).decode()}}
    _, without = decode(ContentFormat.CTWING, json.dumps(push).encode(), NOW)
    _, late = decode(ContentFormat.CTWING, json.dumps({**push, "timestamp": (NOW - 7_200) * 1_000}).encode(), NOW)
    assert without.untimed_index_ml == 123_000_000
    assert (late.ts_s, late.index_ml) == ([NOW - 7_200], [123_000_000])
