"""Huawei OceanConnect and IoTDA pushes (PROTOCOLS C).

OceanConnect: ``deviceDataChanged`` and ``deviceDatasChanged`` carry services; a maker's frame stands in their data as
hexadecimal or base64. IoTDA: ``device.property`` carries services, ``device.message`` a frame. All other
notifications are reports without readings. Reasons of refusal: [json], [message_type], and those of what is carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState

from .. import plain_json
from ..contract import Decoder, Inner, anything
from ..instants import plausible_s
from ..native_fields import plain
from ..readings import merged
from .services import Service, frame_report, octets, report

TASK_FIELDS: Final = (("commandId", "status"), ("command_id", "status"))


def oceanconnect(inner: Inner) -> Decoder:
    """A decoder that gives the meters' own frames to `inner`."""

    def decode(payload: bytes, received_at_s: int) -> DecodedReport:
        return _oceanconnect(plain_json.load_object(payload), inner, received_at_s)

    return Decoder("oceanconnect", anything, decode)


def iotda(inner: Inner) -> Decoder:
    """A decoder that gives the meters' own frames to `inner`."""

    def decode(payload: bytes, received_at_s: int) -> DecodedReport:
        return _iotda(plain_json.load_object(payload), inner, received_at_s)

    return Decoder("iotda", anything, decode)


def _oceanconnect(push: Mapping[str, Any], inner: Inner, received_at_s: int) -> DecodedReport:
    kind = push.get("notifyType")
    if not isinstance(kind, str):
        raise DecodeError("message_type", "no notifyType in the push")
    extra = {"message_type": plain(kind), **_device(push, "deviceId", "productId")}
    many = push.get("services") if isinstance(push.get("services"), list) else [push.get("service")]
    services = [
        Service(
            str(plain(part.get("serviceId", "service")))[:60],
            _data(part.get("data")),
            _at(part, "eventTime", received_at_s),
        )
        for part in many or ()
        if isinstance(part, dict)
    ]
    if services:
        return report(services, inner, received_at_s, extra)
    if kind in ("deviceDataChanged", "deviceDatasChanged"):
        raise DecodeError("json", f"{kind} without a service")
    return merged([], DeviceState(), extra | _tasks(push))


def _iotda(push: Mapping[str, Any], inner: Inner, received_at_s: int) -> DecodedReport:
    resource, event = push.get("resource"), push.get("event")
    notify = push.get("notify_data")
    if not isinstance(resource, str) or not isinstance(notify, dict):
        raise DecodeError("message_type", "no resource and notify_data in the push")
    header = notify["header"] if isinstance(notify.get("header"), dict) else {}
    body = notify["body"] if isinstance(notify.get("body"), dict) else {}
    extra = {"message_type": plain(f"{resource} {event}"), **_device(header, "device_id", "product_id")}
    at_s = _at(push, "event_time", received_at_s)
    if resource == "device.message":
        return _message(body, inner, at_s, received_at_s, extra)
    many = body.get("services") if isinstance(body.get("services"), list) else []
    services = [
        Service(
            str(plain(part.get("service_id", "service")))[:60], _data(part.get("properties")),
            _at(part, "event_time", received_at_s) or at_s,
        )
        for part in many or ()
        if isinstance(part, dict)
    ]  # fmt: skip
    if services:
        return report(services, inner, received_at_s, extra)
    if resource == "device.property":
        raise DecodeError("json", "device.property without a service")
    return merged([], DeviceState(), extra | _tasks(body))


def _message(
    body: Mapping[str, Any], inner: Inner, at_s: int | None, received_at_s: int, extra: dict[str, Any]
) -> DecodedReport:
    """The content as base64 or hexadecimal, or as the text or object itself."""
    content = body.get("content")
    if body.get("topic"):
        extra["topic"] = plain(body["topic"])
    if isinstance(content, dict):
        return report([Service("message", content, at_s)], inner, received_at_s, extra)
    frame = octets(content)
    if frame is None and isinstance(content, str):
        frame = content.encode("utf-8", "replace")
    if frame is None:
        raise DecodeError("json", "device.message without a content")
    return frame_report(frame, inner, at_s, received_at_s, extra)


def _device(holder: Mapping[str, Any], device: str, product: str) -> dict[str, Any]:
    named = (("platform_device", device), ("product_id", product))
    return {name: plain(holder[field]) for name, field in named if isinstance(holder.get(field), str)}


def _data(data: Any) -> Mapping[str, Any]:
    """The data of a service; a bare text is a frame."""
    return data if isinstance(data, dict) else {"data": data}


def _at(holder: Mapping[str, Any], field: str, received_at_s: int) -> int | None:
    return plausible_s(holder.get(field), received_at_s, UTC)


def _tasks(body: Mapping[str, Any]) -> dict[str, Any]:
    for task, state in TASK_FIELDS:
        if isinstance(body.get(task), str):
            result = body.get("result")
            code = result.get("resultCode") if isinstance(result, dict) else body.get(state)
            return {"tasks": [[str(plain(body[task])), str(plain(code))]]}
    return {}
