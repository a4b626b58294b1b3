"""Pushes of China Telecom's CTWing AEP (PROTOCOLS C): `messageType` says what one is. Pure.

An array of messages is taken as so many messages; a `dataReportTupUnion` is one message of one device.
"""

from __future__ import annotations

from typing import Any

from gateway.push.messages import Kind, Message, name_of, names_of, news_of, object_of, split, unplaceable

KINDS = {
    "dataReport": Kind.DATA,
    "dataReportTupUnion": Kind.DATA,
    "eventReport": Kind.DATA,
    "deviceOnlineOfflineReport": Kind.PRESENCE,
    "commandResponse": Kind.COMMAND,
}
"""Others are taken as data: an unknown type becomes a dead letter, not a loss."""


def read(body: bytes) -> list[Message]:
    """At least one message. Never raises, whatever the bytes are."""
    return [unplaceable(text) if message is None else _message(message, text) for message, text in split(body)]


def _message(message: dict[str, Any], text: bytes) -> Message:
    platform_id = name_of(message.get("deviceId"))
    kind = KINDS.get(str(message.get("messageType")), Kind.DATA)
    news = None
    if kind is Kind.COMMAND:
        result = object_of(message.get("result"))
        news = news_of(message.get("taskId"), result.get("resultCode"), result.get("resultDetail"))
    names = names_of((message.get("IMEI"), message.get("imei"), platform_id, message.get("deviceSn")))
    return Message(kind, names, platform_id, name_of(message.get("productId")), text, news)
