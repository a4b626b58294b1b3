"""MQTT 3.1.1: a connection each meter, kept; a report is answered when its PUBACK is here (QoS 1)."""

from __future__ import annotations

import aiomqtt

from simulators import message
from simulators.doors.way import NOTHING, Outgoing, Waiting
from simulators.exchange import Answer, Fate
from simulators.keys import mqtt_password

ANSWER_S = 20.0
TAKEN = Answer(Fate.ANSWERED, message.CHANGED, b"")


class Mqtt(Waiting):
    name = "mqtt"

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._host, self._port = host, port
        self._clients: dict[str, aiomqtt.Client] = {}

    async def deliver(self, report: Outgoing) -> Answer:
        """A connection that was refused or lost is made again for the next report."""
        device = report.device
        try:
            client = self._clients.get(device)
            if client is None:
                client = aiomqtt.Client(
                    self._host, self._port, username=device, password=mqtt_password(report.serial), identifier=device,
                    clean_session=True, timeout=ANSWER_S,
                )  # fmt: skip
                self._clients[device] = await client.__aenter__()
            await client.publish(f"nbwater/v1/{device}/up", report.payload, qos=1)
        except (aiomqtt.MqttError, OSError):
            await self._drop(device)
            return NOTHING
        return TAKEN

    async def _drop(self, device: str) -> None:
        client = self._clients.pop(device, None)
        if client is None:
            return
        try:
            await client.__aexit__(None, None, None)
        except (aiomqtt.MqttError, OSError):
            return
        finally:
            ended = client._disconnected
            if ended.done() and not ended.cancelled():
                ended.exception()

    async def close(self) -> None:
        await super().close()
        for device in list(self._clients):
            await self._drop(device)
