"""China Telecom CTWing AEP pushes (PROTOCOLS C).

``v1/up/ad``: the meter's own frame in base64. ``v1/up/ad19prof``: a profile's service. ``v1/up/ad19``: a thing model,
whose volumes are read where a mapping file says how, else kept. Events, online and offline and answers to commands are
reports without readings. Reasons of refusal: [json], [message_type], [base64], and those of what is carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState

from .. import plain_json
from ..contract import Decoder, Inner, anything
from ..instants import plausible_s
from ..native_fields import plain
from ..readings import merged
from .services import Service, frame_report, octets, report

KEPT: Final = {
    "messageType": "message_type",
    "topic": "topic",
    "productId": "product_id",
    "deviceId": "platform_device",
    "serviceId": "service_id",
    "protocol": "protocol",
    "eventType": "event_type",
    "upDataSN": "up_data_sn",
}
"""Fields of the push that are shown, by the names they get."""

ABSENT: Final = (None, "", "undefined", -1)


def decoder(inner: Inner) -> Decoder:
    """A decoder that gives the meters' own frames to `inner`."""

    def decode(payload: bytes, received_at_s: int) -> DecodedReport:
        return _decode(payload, inner, received_at_s)

    return Decoder("ctwing", anything, decode)


def _decode(payload: bytes, inner: Inner, received_at_s: int) -> DecodedReport:
    push = plain_json.load_object(payload)
    kind = push.get("messageType")
    extra = {name: plain(push[field]) for field, name in KEPT.items() if push.get(field) not in ABSENT}
    at_s = plausible_s(push.get("timestamp"), received_at_s)
    if kind in ("dataReport", "dataReportTupUnion"):
        return _data(push, inner, at_s, received_at_s, extra)
    if kind == "eventReport":
        content = push.get("eventContent")
        services = [Service(_name(push, "event"), content, at_s)] if isinstance(content, dict) else []
        return report(services, inner, received_at_s, extra)
    if kind == "commandResponse":
        return merged([], DeviceState(), extra | _task(push))
    if kind == "deviceOnlineOfflineReport":
        extra["online"] = push.get("eventType") in (1, "1")
        return merged([], DeviceState(), extra)
    raise DecodeError("message_type", f"no message type {str(kind)[:60]!r} is known")


def _data(
    push: Mapping[str, Any], inner: Inner, at_s: int | None, received_at_s: int, extra: dict[str, Any]
) -> DecodedReport:
    body = push.get("payload")
    if isinstance(body, str) and body[:1] == "{":
        body = plain_json.load_object(body)
    if not isinstance(body, dict):
        raise DecodeError("json", "payload is not an object")
    if "APPdata" in body:
        frame = octets(body["APPdata"]) if body["APPdata"] else b""
        if frame is None:
            raise DecodeError("base64", "APPdata is not base64")
        return frame_report(frame, inner, at_s, received_at_s, extra)
    many = body.get("services")
    services = many if isinstance(many, list) else [body]
    return report([_service(push, part, at_s) for part in services], inner, received_at_s, extra)


def _service(push: Mapping[str, Any], body: Any, at_s: int | None) -> Service:
    if not isinstance(body, dict):
        raise DecodeError("json", "a service is not an object")
    data = body.get("serviceData")
    if isinstance(data, str) and data[:1] == "{":
        data = plain_json.load_object(data)
    if isinstance(data, dict):
        return Service(_name(body, _name(push, "profile")), data, at_s)
    return Service(_name(push, "thing_model"), body, at_s)


def _name(holder: Mapping[str, Any], otherwise: str) -> str:
    name = holder.get("serviceId")
    return otherwise if name in ABSENT else str(plain(name))[:60]


def _task(push: Mapping[str, Any]) -> dict[str, Any]:
    """The platform's own number of the command, and what it says became of it."""
    result = push.get("result")
    answered: Mapping[str, Any] = result if isinstance(result, dict) else {}
    code, detail = answered.get("resultCode"), answered.get("resultDetail")
    task = {"tasks": [[str(plain(push.get("taskId"))), str(plain(code))]]}
    return task if detail in ABSENT else {**task, "task_detail": plain(detail)}
