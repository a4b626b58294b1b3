"""Pushes of Huawei OceanConnect (`notifyType`) and Huawei IoTDA (`resource`, `event`), PROTOCOLS C. Pure."""

from __future__ import annotations

from typing import Any

from gateway.push.messages import Kind, Message, name_of, names_of, news_of, object_of, split, unplaceable

OCEANCONNECT_DATA = frozenset({"deviceDataChanged", "deviceDatasChanged", "messageConfirm", "commandRsp"})
_COMMAND_STATUS = "device.command.status"
_PRESENCE = frozenset({"device", "device.status", "product"})


def read_oceanconnect(body: bytes) -> list[Message]:
    """At least one message. Never raises, whatever the bytes are."""
    return [unplaceable(text) if message is None else _oceanconnect(message, text) for message, text in split(body)]


def read_iotda(body: bytes) -> list[Message]:
    """At least one message. Never raises, whatever the bytes are."""
    return [unplaceable(text) if message is None else _iotda(message, text) for message, text in split(body)]


def _oceanconnect(message: dict[str, Any], text: bytes) -> Message:
    """A callback of a command has no `notifyType`, but a `commandId` and a `result`."""
    platform_id = name_of(message.get("deviceId"))
    info = object_of(message.get("deviceInfo"))
    names = names_of((info.get("nodeId"), message.get("nodeId"), message.get("imei"), platform_id))
    notify_type = message.get("notifyType")
    if notify_type is None and message.get("commandId") is not None:
        result = object_of(message.get("result"))
        news = news_of(message.get("commandId"), result.get("resultCode"), result.get("resultDetail"))
        return Message(Kind.COMMAND, names, platform_id, "", text, news)
    known = notify_type is None or str(notify_type) in OCEANCONNECT_DATA
    return Message(Kind.DATA if known else Kind.PRESENCE, names, platform_id, "", text)


def _iotda(message: dict[str, Any], text: bytes) -> Message:
    """`device_id` usually is the product's id, an underscore and the `node_id` (the IMEI)."""
    told = object_of(message.get("notify_data"))
    header, body = object_of(told.get("header")), object_of(told.get("body"))
    platform_id, product = name_of(header.get("device_id")), name_of(header.get("product_id"))
    names = names_of((header.get("node_id"), platform_id.removeprefix(f"{product}_"), platform_id))
    resource = message.get("resource")
    if resource == _COMMAND_STATUS:
        news = news_of(body.get("command_id"), body.get("status"), body.get("result"))
        return Message(Kind.COMMAND, names, platform_id, product, text, news)
    return Message(Kind.PRESENCE if str(resource) in _PRESENCE else Kind.DATA, names, platform_id, product, text)
