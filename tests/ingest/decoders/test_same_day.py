"""The same meter's day through every format gives the same readings, and is known for the same report (DESIGN 3.1)."""

import base64
import json

import cbor2
import pytest

from ingest.decoders import decode
from ingest.identity import identity_of
from metering.envelope import Report
from metering.model import Authentication, ContentFormat, Door
from simulators import payloads

FIRST_S = 1_767_225_600
RECEIVED_S = FIRST_S + 100_000
DAY = [(FIRST_S + 3_600 * hour, 123_456 + 17 * hour * (hour % 5)) for hour in range(24)]
DAY.sort(key=lambda pair: pair[1])
DAY = [(FIRST_S + 3_600 * hour, litres) for hour, (_, litres) in enumerate(DAY)]
REPORT = payloads.Report(4711, DAY, {"battery_mv": 3612, "rsrp_ddbm": -1087})
CBOR, JSON = payloads.encode_cbor(REPORT), payloads.encode_json(REPORT)


def ctwing(frame):
    push = {"messageType": "dataReport", "topic": "v1/up/ad", "timestamp": RECEIVED_S * 1_000, "deviceId": "d"}
    return json.dumps({**push, "payload": {"APPdata": base64.b64encode(frame).decode()}}).encode()


def oceanconnect(frame):
    service = {"serviceId": "Raw", "data": {"rawData": frame.hex()}, "eventTime": "20260102T034000Z"}
    return json.dumps({"notifyType": "deviceDataChanged", "deviceId": "d", "service": service}).encode()


def iotda(frame):
    body = {"topic": "up", "content": base64.b64encode(frame).decode()}
    notify = {"header": {"device_id": "d"}, "body": body}
    return json.dumps({"resource": "device.message", "event": "report", "notify_data": notify}).encode()


TLV = b"\xc8\x00" + bytes([len(CBOR)]) + CBOR
PACK = cbor2.dumps([{0: "/19/0/0", 8: CBOR}])
WAYS = {
    "cbor": (ContentFormat.CBOR, CBOR),
    "json": (ContentFormat.JSON, JSON),
    "cbor of a module that can say no format": (ContentFormat.OCTET_STREAM, CBOR),
    "json of a module that can say no format": (ContentFormat.OCTET_STREAM, JSON),
    "lwm2m notification of object 19": (ContentFormat.LWM2M, cbor2.dumps([["/19/0/0", 42, CBOR]])),
    "lwm2m object 19 as TLV": (ContentFormat.LWM2M, cbor2.dumps([["/19/0", 11542, TLV]])),
    "lwm2m Send in SenML CBOR": (ContentFormat.LWM2M, cbor2.dumps([["/", 112, PACK]])),
    "lwm2m object 19 with JSON": (ContentFormat.LWM2M, cbor2.dumps([["/19/0/0", 42, JSON]])),
    "ctwing v1/up/ad": (ContentFormat.CTWING, ctwing(CBOR)),
    "ctwing v1/up/ad with JSON": (ContentFormat.CTWING, ctwing(JSON)),
    "oceanconnect": (ContentFormat.OCEANCONNECT, oceanconnect(CBOR)),
    "iotda message": (ContentFormat.IOTDA, iotda(CBOR)),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_same_day_gives_the_same_readings_and_the_same_identity(way):
    content_format, payload = WAYS[way]
    _, report = decode(content_format, payload, RECEIVED_S)
    assert list(zip(report.ts_s, report.index_ml, strict=True)) == [(ts, litres * 1_000) for ts, litres in DAY]
    assert (report.state.battery_mv, report.state.rsrp_ddbm) == (3612, -1087)

    def came_as(number, body, content):
        raw = Report(bytes(16), RECEIVED_S * 10**6, Door.COAP, Authentication.CLAIMED, "d", number, body, "::1")
        return identity_of("d", raw, content)

    plain = decode(ContentFormat.CBOR, CBOR, RECEIVED_S)[1]
    assert came_as(content_format, payload, report) == came_as(ContentFormat.CBOR, CBOR, plain)


def test_a_device_cannot_put_words_into_the_platforms_mouth():
    frame = cbor2.dumps({0: 1, "results": [["x"]], "tasks": [["1", "SUCCESSFUL"]]})
    for content_format, payload in ((ContentFormat.CBOR, frame), (ContentFormat.CTWING, ctwing(frame))):
        extra = decode(content_format, payload, RECEIVED_S)[1].extra
        assert "results" not in extra
        assert "tasks" not in extra
        assert extra["key_tasks"] == [["1", "SUCCESSFUL"]]


@pytest.mark.parametrize("carry", [ctwing, oceanconnect, iotda])
def test_results_of_commands_stand_in_one_place(carry):
    content_format = {ctwing: 65_110, oceanconnect: 65_111, iotda: 65_112}[carry]
    frame = cbor2.dumps({0: 1, 13: [[bytes(range(8)), 0], ["bad", 1]]})
    _, report = decode(content_format, carry(frame), RECEIVED_S)
    assert report.extra["results"] == [["0001020304050607", 0]]
    assert report.extra["implausible"] == {"results": [["bad", 1]]}
