"""CoAP over DTLS: a session each meter, made anew when it hears nothing."""

from __future__ import annotations

from simulators.doors.way import NOTHING, Outgoing, Waiting
from simulators.dtls import DtlsMeter, HandshakeError
from simulators.exchange import Answer, Timers
from simulators.keys import psk


class Dtls(Waiting):
    name = "dtls"

    def __init__(self, host: str, port: int, timers: Timers) -> None:
        super().__init__()
        self._host, self._port, self._timers = host, port, timers
        self._meters: dict[str, DtlsMeter] = {}

    async def deliver(self, report: Outgoing) -> Answer:
        try:
            meter = self._meters.get(report.device)
            if meter is None:
                meter = DtlsMeter(self._host, self._port, report.device, psk(report.serial), self._timers)
                self._meters[report.device] = await meter.__aenter__()
            return await meter.post(("r", report.device), report.content_format, report.payload)
        except (HandshakeError, OSError):
            return NOTHING

    async def close(self) -> None:
        await super().close()
        for meter in self._meters.values():
            await meter.__aexit__(None, None, None)
