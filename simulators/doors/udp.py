"""CoAP in the clear and CoAP protected by OSCORE, by one `Sender` for all meters."""

from __future__ import annotations

from functools import partial

from simulators import message
from simulators.coap import Sender
from simulators.doors.way import NOTHING, Ended, Outgoing
from simulators.exchange import Answer, Exchange, Fate
from simulators.protected_sender import ProtectedSender


def tail(report: Outgoing) -> bytes:
    """Options and payload of the request."""
    return message.request_tail(("r", report.device), report.content_format, report.payload)


class Plain:
    """The sender is its owner's to close."""

    name = "coap"

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.inflight = 0

    def send(self, report: Outgoing, ended: Ended) -> None:
        self.inflight += 1
        self._submit(report, partial(self._ended, ended))

    def _submit(self, report: Outgoing, ended: Ended) -> None:
        if not self._sender.submit(tail(report), partial(_said, ended), lane=report.lane):
            ended(NOTHING)

    def _ended(self, ended: Ended, answer: Answer) -> None:
        self.inflight -= 1
        ended(answer)

    async def close(self) -> None:
        """Nothing is its own."""


class Oscore(Plain):
    """With the keys of `simulators.keys`."""

    name = "oscore"

    def __init__(self, sender: Sender, first_number: int) -> None:
        super().__init__(sender)
        self.protected = ProtectedSender(sender, first_number)

    def _submit(self, report: Outgoing, ended: Ended) -> None:
        if not self.protected.submit(report.serial, tail(report), partial(_said, ended), lane=report.lane):
            ended(NOTHING)


def _said(ended: Ended, exchange: Exchange) -> None:
    ended(Answer(exchange.fate or Fate.UNKNOWN, exchange.code, exchange.payload))
