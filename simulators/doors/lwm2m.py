"""LwM2M: a client each meter that registers and sends its report as object 19 in SenML CBOR (LwM2M core 1.2, 6.4.6).

A server that has forgotten it, or sees it at another address, says 4.04: then it registers again, as clients do.
"""

from __future__ import annotations

import random

import cbor2

from simulators import message
from simulators.doors.way import NOTHING, Outgoing, Waiting
from simulators.exchange import Answer, Fate, Timers
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import CREATED, NOT_FOUND, WAKAAMA, Client
from simulators.message import Message

APP_DATA = "/19/0/0"
_NAME, _DATA = 0, 8  # RFC 8428 section 6: labels of SenML in CBOR


class Lwm2m(Waiting):
    name = "lwm2m"

    def __init__(self, host: str, port: int, timers: Timers) -> None:
        super().__init__()
        self._host, self._port, self._timers = host, port, timers
        self._meters: dict[str, Lwm2mMeter] = {}
        self._registered: set[str] = set()

    async def deliver(self, report: Outgoing) -> Answer:
        try:
            meter = self._meters.get(report.device) or await self._open(report.device)
            for _ in range(2):
                if report.device not in self._registered:
                    said = await meter.ask(meter.client.register())
                    if said.code != CREATED:
                        return _answer(said)
                    self._registered.add(report.device)
                pack = cbor2.dumps([{_NAME: APP_DATA, _DATA: report.payload}])
                said = await meter.ask(meter.client.send(pack))
                if said.code != NOT_FOUND:
                    return _answer(said)
                self._registered.discard(report.device)
        except (TimeoutError, OSError):
            self._registered.discard(report.device)
        return NOTHING

    async def _open(self, device: str) -> Lwm2mMeter:
        client = Client(device, WAKAAMA, {}, next_id=random.getrandbits(16))
        meter = Lwm2mMeter(self._host, self._port, client, ack_timeout_s=self._timers.ack_timeout_s)
        self._meters[device] = await meter.__aenter__()
        return meter

    async def close(self) -> None:
        await super().close()
        for meter in self._meters.values():
            await meter.__aexit__(None, None, None)


def _answer(said: Message) -> Answer:
    fate = {2: Fate.ANSWERED, 4: Fate.REFUSED}.get(said.code >> 5, Fate.UNKNOWN)
    return Answer(fate if said.code else Fate.UNKNOWN, said.code or message.EMPTY, b"")
