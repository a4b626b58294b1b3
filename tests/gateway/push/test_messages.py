"""What pushes say of whose they are, from messages as the platforms send them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.push import ctwing, huawei
from gateway.push.messages import MAX_MESSAGES, CommandNews, Kind, name_of, split
from tests.gateway.push.conftest import PUSH

CTWING_ID = "44d0b9e48d404094bbbcf889e4e64ece"
IOTDA = {
    "resource": "device.property",
    "event": "report",
    "event_time": "20260101T000000Z",
    "notify_data": {
        "header": {"device_id": "5f3a_861234567890123", "node_id": "861234567890123", "product_id": "5f3a"},
        "body": {"services": [{"service_id": "Meter", "properties": {}, "event_time": "20260101T000000Z"}]},
    },
}
OCEANCONNECT = {
    "notifyType": "deviceDataChanged",
    "deviceId": "8ae9ce12",
    "gatewayId": "8ae9ce12",
    "service": {"serviceId": "Meter", "serviceType": "Meter", "data": {"raw": "6810"}, "eventTime": "20200206T050809Z"},
}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("dataReport", Kind.DATA),
        ("eventReport", Kind.DATA),
        ("dataReportTupUnion", Kind.DATA),
        ("deviceOnlineOfflineReport", Kind.PRESENCE),
        ("commandResponse", Kind.COMMAND),
        ("somethingNew", Kind.DATA),
        (7, Kind.DATA),
    ],
)
def test_ctwing_names_the_device_in_every_type_of_message(kind: object, expected: Kind) -> None:
    (message,) = ctwing.read(encoded({**PUSH, "messageType": kind}))
    assert message.kind is expected
    assert message.names == ("861234567890123", CTWING_ID)
    assert (message.platform_id, message.platform_product) == (CTWING_ID, "10053421")


@pytest.mark.parametrize("topic", ["v1/up/ad", "v1/up/ad19", "v1/up/ad19prof"])
def test_ctwing_topics_are_for_ingest_to_tell_apart(topic: str) -> None:
    body = encoded({**PUSH, "topic": topic})
    (message,) = ctwing.read(body)
    assert message.text == body


@pytest.mark.parametrize("undefined", ["undefined", "", None, "null", True, 1.5, {}, [], "x" * 200, "a\nb", 10**60])
def test_what_is_no_name_is_none(undefined: object) -> None:
    (message,) = ctwing.read(encoded({**PUSH, "IMEI": undefined}))
    assert message.names == (CTWING_ID,)


def test_a_number_is_a_name_too_and_half_a_surrogate_harms_nobody() -> None:
    assert name_of(861234567890123) == "861234567890123"
    assert name_of("\ud800") == ""


def test_ctwing_tells_of_a_command_by_its_task() -> None:
    """As published: github.com, WaterController (taskId a number, state in capitals)."""
    said = {
        "timestamp": 1589444233258, "tenantId": "10461180", "taskId": 1, "protocol": "lwm2m", "productId": "10053421",
        "result": {"resultDetail": "", "resultCode": "DELIVERED"}, "messageType": "commandResponse",
        "deviceId": CTWING_ID,
    }  # fmt: skip
    (message,) = ctwing.read(encoded(said))
    assert message.news == CommandNews("1", "delivered", "")


def test_huawei_names_the_device_by_its_node_and_its_id() -> None:
    (message,) = huawei.read_iotda(encoded(IOTDA))
    assert message.names == ("861234567890123", "5f3a_861234567890123")
    assert (message.kind, message.platform_id) == (Kind.DATA, "5f3a_861234567890123")
    del IOTDA["notify_data"]["header"]["node_id"]
    (message,) = huawei.read_iotda(encoded(IOTDA))
    assert message.names[0] == "861234567890123"


@pytest.mark.parametrize(
    ("resource", "kind"), [("device.message", Kind.DATA), ("device.status", Kind.PRESENCE), ("new", Kind.DATA)]
)
def test_iotda_resources(resource: str, kind: Kind) -> None:
    assert huawei.read_iotda(encoded({**IOTDA, "resource": resource}))[0].kind is kind


def test_iotda_tells_of_a_command() -> None:
    body = {"command_id": "b1224afb", "status": "SUCCESSFUL", "result": {"result_code": 0}}
    told = {**IOTDA, "resource": "device.command.status", "notify_data": {**IOTDA["notify_data"], "body": body}}
    (message,) = huawei.read_iotda(encoded(told))
    assert message.news == CommandNews("b1224afb", "successful", '{"result_code": 0}')


def test_oceanconnect_knows_devices_by_its_own_id() -> None:
    (message,) = huawei.read_oceanconnect(encoded(OCEANCONNECT))
    assert (message.kind, message.names, message.platform_id) == (Kind.DATA, ("8ae9ce12",), "8ae9ce12")
    (message,) = huawei.read_oceanconnect(encoded({"notifyType": "deviceAdded", "deviceId": "1", "nodeId": "86"}))
    assert (message.kind, message.names) == (Kind.PRESENCE, ("86", "1"))
    told = {"deviceId": "8ae9ce12", "commandId": "c1", "result": {"resultCode": "TIMEOUT", "resultDetail": None}}
    (message,) = huawei.read_oceanconnect(encoded(told))
    assert message.news == CommandNews("c1", "timeout", "")


def test_elements_of_an_array_keep_their_text() -> None:
    body = '\ufeff [ {"a": 1.50, "b": "]},{"} ,\n{"a":1e400}, 7]'.encode()
    assert [text for _, text in split(body)] == [b'{"a": 1.50, "b": "]},{"}', b'{"a":1e400}', b"7"]
    assert [value is None for value, _ in split(body)] == [False, False, True]


def test_an_endless_array_is_cut() -> None:
    body = b"[" + b",".join([b"{}"] * (MAX_MESSAGES + 5)) + b"]"
    parts = list(split(body))
    assert len(parts) == MAX_MESSAGES + 1
    assert parts[-1] == (None, b"{},{},{},{},{}]")


@pytest.mark.parametrize("read", [ctwing.read, huawei.read_iotda, huawei.read_oceanconnect])
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"null", b"[" * 50_000, b"\xff", b'{"notify_data": 3}', b'{"notify_data":{"header":[]}}',
     b'{"messageType":"commandResponse","result":7}', b'{"resource":["device.status"]}', b'{"notifyType":{}}',
     b'[1,"x",null,{"IMEI":{}}]', b"9" * 60_000],
)  # fmt: skip
def test_nothing_is_lost_whatever_the_bytes_are(read: Any, body: bytes) -> None:
    messages = read(body)
    assert messages
    assert all(message.text in body for message in messages)
