"""Topics, and what a payload is. Pure.

A meter publishes to ``nbwater/v1/{device}/up`` and listens on ``nbwater/v1/{device}/down``; the level is the device's
canonical name. nats-server makes subjects of topics (``/`` becomes ``.``), so that a name must hold nothing that means
something in either.
"""

from __future__ import annotations

import re

from metering.model import ContentFormat

ROOT = "nbwater/v1"
ALL_UP = f"{ROOT}/+/up"
SHARED_ALL_UP = f"$share/nbwater/{ALL_UP}"
"""MQTT 5 section 4.8.2: each message to one of the subscribers."""

PROBE = "nbwater-probe"
"""Not a meter: the name under which the platform tries what a meter may do."""

HOLDER_ID = "nbwater-gateway"
"""Client id of the gateways' session at nats-server's listener, and the beginning of theirs at another broker."""

_FIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,63}")
_UP = re.compile(rf"{ROOT}/([^/]+)/up")
_JSON_OBJECT = ord("{")
_CBOR_MAP = 5


def fits(name: str) -> bool:
    """Whether a device of this name can have topics: no level separator, wildcard, dot or space of MQTT or NATS."""
    return _FIT.fullmatch(name) is not None


def up(device: str) -> str:
    return f"{ROOT}/{device}/up"


def down(device: str) -> str:
    return f"{ROOT}/{device}/down"


def subject(topic: str) -> str:
    """The NATS subject of a topic whose levels fit."""
    return topic.replace("/", ".")


def sender(topic: str) -> str | None:
    """The device's level of an `up` topic; None for any other topic."""
    found = _UP.fullmatch(topic)
    return found[1] if found and fits(found[1]) else None


def content_format(payload: bytes) -> ContentFormat:
    """MQTT 3.1.1 has no field for it: the first byte says it. ``{`` begins JSON, major type 5 a CBOR map (RFC 8949
    section 3.1), and frames of meters begin with FE or 68."""
    if payload[:1] and payload[0] == _JSON_OBJECT:
        return ContentFormat.JSON
    if payload[:1] and payload[0] >> 5 == _CBOR_MAP:
        return ContentFormat.CBOR
    return ContentFormat.OCTET_STREAM
