"""The streams of nats-server's own MQTT listener, as it would make them at the first login, but bounded.

nats-server gives them no bound and, where they would reach one, forgets the old. What meters publish while no gateway
takes it then fills the server's whole store: the report stream refuses, and gateways that would empty it cannot log in
(seen with 2.15.1). Made before the first login, with a bound at which they refuse, each fills by itself: nats-server
ends the connection of who published too much, without PUBACK, and takes it again when there is room.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

MQTT_STREAM = "$MQTT_msgs"
"""Where publishes of QoS 1 are until every session that wants them has acknowledged them."""

STATE_MAX_BYTES = 256 * 1024 * 1024
"""Of each other one; a kept session with a subscription takes 540 bytes."""

_STATE: Mapping[str, tuple[str, dict[str, Any]]] = MappingProxyType(
    {
        "$MQTT_sess": ("$MQTT.sess.>", {"max_msgs_per_subject": 1}),
        "$MQTT_rmsgs": ("$MQTT.rmsgs.>", {"max_msgs_per_subject": 1}),
        "$MQTT_qos2in": ("$MQTT.qos2.in.>", {"max_msgs_per_subject": 1, "discard_new_per_subject": True}),
        "$MQTT_out": ("$MQTT.out.>", {"retention": RetentionPolicy.INTEREST}),
    }
)
"""Sessions, retained messages, and halves of QoS 2: name → subject and what else nats-server gives it."""


def mqtt_configs(max_bytes: int, replicas: int) -> list[StreamConfig]:
    """`max_bytes`: of MQTT_STREAM; 0: the server has no listener, and there is nothing to bound."""
    if not max_bytes:
        return []
    waiting: dict[str, Any] = {"retention": RetentionPolicy.INTEREST}
    return [
        _config(MQTT_STREAM, "$MQTT.msgs.>", max_bytes, replicas, waiting),
        *(_config(name, subject, STATE_MAX_BYTES, replicas, more) for name, (subject, more) in _STATE.items()),
    ]


def _config(name: str, subject: str, max_bytes: int, replicas: int, more: dict[str, Any]) -> StreamConfig:
    settings: dict[str, Any] = {"retention": RetentionPolicy.LIMITS} | more
    return StreamConfig(
        name=name,
        subjects=[subject],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_bytes=max_bytes,
        num_replicas=replicas,
        **settings,
    )
