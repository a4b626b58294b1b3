"""What the MQTT door uses of the process: `gateway.doors.Parts`, which stands above it, has it all."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.commands import Commands
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.key_uses import KeyUses
from gateway.link import StreamLink
from gateway.metrics import Counters
from gateway.strangers import Strangers
from metering.credentials import MasterKeys


@dataclass(frozen=True, slots=True)
class MqttParts:
    """`worker`: number of this process among those of its host."""

    worker: int
    intake: Intake
    devices: Devices
    commands: Commands
    master_keys: MasterKeys | None
    counters: Counters
    link: StreamLink
    key_uses: KeyUses
    strangers: Strangers
