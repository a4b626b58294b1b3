"""The doors beside the CoAP port: what each is given, what it has to offer, and which are open.

A door makes its own settings class, decides by it in `open_doors` whether it is there at all, and leads into `Intake`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.commands import Commands
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.link import StreamLink
from gateway.metrics import Counters, Readings
from gateway.mqtt.door import MqttDoor
from gateway.mqtt.parts import MqttParts
from gateway.refusals import RefusalLimiter
from metering.credentials import MasterKeys
from metering.settings import GatewaySettings, MqttSettings, NatsSettings, load


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
    """What a door may use of the process. `master_keys`: None when the operator gave none; then no key opens."""

    settings: GatewaySettings
    stream: NatsSettings
    intake: Intake
    devices: Devices
    commands: Commands
    master_keys: MasterKeys | None
    limiter: RefusalLimiter
    counters: Counters
    link: StreamLink


def open_doors(parts: Parts) -> list[OpenDoor]:
    """Those that the settings open, in the order in which they start. Raises SettingsError."""
    doors: list[OpenDoor] = []
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
    )
