"""The doors beside the CoAP port: what each is given, what it has to offer, and which are open.

A door makes its own settings class, decides by it in `open_doors` whether it is there at all, and leads into `Intake`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.coap.lwm2m.lane import Lwm2mLane
from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.store import RegistrationStore
from gateway.coap.peers import Peer
from gateway.commands import RecallableCommands
from gateway.devices import Devices
from gateway.dtls.door import open_dtls
from gateway.firmware import Images
from gateway.intake import Intake
from gateway.key_uses import KeyUses
from gateway.link import StreamLink
from gateway.metrics import Counters, Readings
from gateway.mqtt.door import MqttDoor
from gateway.mqtt.parts import MqttParts
from gateway.push.door import PushDoor
from gateway.push.products import load_products
from gateway.refusals import RefusalLimiter
from gateway.strangers import Strangers
from metering.credentials import MasterKeys
from metering.settings import (
    DtlsSettings,
    GatewaySettings,
    Lwm2mSettings,
    MqttSettings,
    NatsSettings,
    PushSettings,
    load,
)


class OpenDoor(Protocol):
    """Made inside the running loop, with its sockets bound; raises StartError then when it cannot."""

    name: str

    def ports(self) -> Mapping[str, int]:
        """What the process says when it is ready, such as ``{"dtls_port": 5684}``."""
        ...

    async def start(self) -> None:
        """Take reports from now on. The registry and the stream may not be there yet: then devices are told to come
        again."""
        ...

    async def serve(self) -> None:
        """What runs while the stream is connected and verified, until cancelled."""
        ...

    def stop_reading(self) -> None:
        """Take nothing new; answers can still be sent."""
        ...

    async def stop(self) -> None:
        """After what was taken has its answers."""
        ...

    def gauges(self) -> Readings:
        """For /metrics."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a door may use of the process. `master_keys`: None when the operator gave none; then no key opens.

    A door says `strangers.knock` of whom it refuses because nobody knows the name, and `key_uses.used` of each device
    that has authenticated with a key, so that the key before it ends.
    """

    settings: GatewaySettings
    stream: NatsSettings
    intake: Intake
    devices: Devices
    commands: RecallableCommands
    master_keys: MasterKeys | None
    limiter: RefusalLimiter
    counters: Counters
    link: StreamLink
    strangers: Strangers
    key_uses: KeyUses
    receive_coap: Callable[[bytes, Peer], None]
    """Takes a CoAP message of a peer that the door vouches for, as the CoAP port would."""


def open_doors(parts: Parts) -> list[OpenDoor]:
    """Those that the settings open, in the order in which they start. Raises StartError and
    SettingsError."""
    doors: list[OpenDoor] = []
    dtls = open_dtls(
        parts.settings.port, parts.settings.worker, load(DtlsSettings), parts.devices, parts.master_keys,
        parts.counters, parts.receive_coap, parts.key_uses, parts.strangers,
    )  # fmt: skip
    if dtls is not None:
        doors.append(dtls)
    push = load(PushSettings)
    if parts.settings.worker == 0 and push.products_file and (products := load_products(push.products_file)):
        doors.append(
            PushDoor(
                push, products, parts.intake, parts.devices, parts.commands, parts.link, parts.limiter, parts.strangers
            )
        )  # fmt: skip
    if (mqtt := load(MqttSettings)).url.get_secret_value():
        doors.append(MqttDoor(mqtt, _mqtt_parts(parts)))
    return doors


def _mqtt_parts(parts: Parts) -> MqttParts:
    return MqttParts(
        parts.settings.worker,
        parts.intake,
        parts.devices,
        parts.commands,
        parts.master_keys,
        parts.counters,
        parts.link,
        parts.key_uses,
        parts.strangers,
    )


def open_lwm2m(parts: Parts, settings: Lwm2mSettings, images: Images | None) -> Lwm2mLane:
    """The door on the CoAP port itself: whoever owns the port feeds it."""
    means = Means(
        settings, parts.intake, parts.devices, parts.commands, RegistrationStore(parts.link), parts.counters,
        parts.master_keys, time.monotonic, time.time, images, parts.strangers,
    )  # fmt: skip
    return Lwm2mLane(means, parts.settings.retry_after_s, parts.settings.workers)
