"""The doors beside the CoAP port: what each is given, what it has to offer, and which are open.

A door makes its own settings class, decides by it in `open_doors` whether it is there at all, and leads into `Intake`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.coap.lwm2m.lane import Lwm2mLane
from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.store import RegistrationStore
from gateway.commands import Commands
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.link import StreamLink
from gateway.metrics import Counters, Readings
from gateway.refusals import RefusalLimiter
from metering.credentials import MasterKeys
from metering.settings import GatewaySettings, Lwm2mSettings, NatsSettings


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


def open_doors(parts: Parts) -> list[OpenDoor]:  # noqa: ARG001 - until the first door is here
    """Those that the settings open, in the order in which they start."""
    return []


def open_lwm2m(parts: Parts, settings: Lwm2mSettings) -> Lwm2mLane:
    """The door on the CoAP port itself: whoever owns the port feeds it."""
    means = Means(
        settings, parts.intake, parts.devices, parts.commands, RegistrationStore(parts.link), parts.counters,
        parts.master_keys, time.monotonic, time.time,
    )  # fmt: skip
    return Lwm2mLane(means, parts.settings.retry_after_s, parts.settings.workers)
