"""Sends for meters that have keys: requests protected by OSCORE, answers opened, the question by Echo answered.

Shortcoming: a protected 5.03 ends the exchange as UNKNOWN; who wants the report taken sends it again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

from simulators import message
from simulators.coap import Sender
from simulators.exchange import Answer, Exchange, Fate, OnEnd
from simulators.keys import protected_meter
from simulators.message import Message, Type
from simulators.oscore import ProtectedMeter, ProtectionError, with_echo

MAX_QUESTIONS = 2
"""An Echo value dies with the process that made it: it may ask once more."""


class _Call(NamedTuple):
    meter: ProtectedMeter
    number: int
    tail: bytes
    on_end: OnEnd
    lane: int
    questions: int
    code: int


class ProtectedSender:
    """`sender` with the keys of `simulators.keys`; each meter's numbers begin at `first_number`."""

    def __init__(self, sender: Sender, first_number: int) -> None:
        self._sender, self._first_number = sender, first_number
        self._meters: dict[str, ProtectedMeter] = {}

    def submit(self, serial: str, tail: bytes, on_end: OnEnd, *, lane: int = 0, code: int = message.POST) -> bool:
        """As `Sender.submit`, for the meter with this serial: what `on_end` sees is what was inside."""
        meter = self._meters.get(serial)
        if meter is None:
            meter = self._meters[serial] = protected_meter(serial, self._first_number)
        return self._submit(meter, tail, on_end, lane, 0, code)

    async def post(self, serial: str, tail: bytes, *, lane: int = 0) -> Answer:
        return await self._ask(serial, tail, lane, message.POST)

    async def get(self, serial: str, tail: bytes, *, lane: int = 0) -> Answer:
        return await self._ask(serial, tail, lane, message.GET)

    async def _ask(self, serial: str, tail: bytes, lane: int, code: int) -> Answer:
        ended: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def on_end(exchange: Exchange) -> None:
            if not ended.done():
                ended.set_result(Answer(exchange.fate or Fate.UNKNOWN, exchange.code, exchange.payload))

        if not self.submit(serial, tail, on_end, lane=lane, code=code):
            return Answer(Fate.UNKNOWN, message.EMPTY, b"")
        return await ended

    def _submit(self, meter: ProtectedMeter, tail: bytes, on_end: OnEnd, lane: int, questions: int, code: int) -> bool:
        number, protected = meter.protect(code, tail)
        call = _Call(meter, number, tail, on_end, lane, questions, code)
        return self._sender.submit(protected, partial(self._ended, call), lane=lane)

    def _ended(self, call: _Call, exchange: Exchange) -> None:
        """A protected answer is 2.04 outside. What is not protected anybody may have said: it ends as UNKNOWN."""
        if exchange.fate is Fate.REFUSED:
            exchange.fate = Fate.UNKNOWN
        elif exchange.fate is Fate.ANSWERED:
            answer = Message(Type.ACK, exchange.code, 0, b"", exchange.options, exchange.payload)
            try:
                opened = call.meter.open(call.number, answer)
            except ProtectionError:
                exchange.fate, exchange.code = Fate.UNKNOWN, message.EMPTY
                call.on_end(exchange)
                return
            if opened.echo is not None and call.questions < MAX_QUESTIONS:
                tail = with_echo(call.tail, opened.echo)
                if self._submit(call.meter, tail, call.on_end, call.lane, call.questions + 1, call.code):
                    return
            exchange.code, exchange.options, exchange.payload = opened
            exchange.fate = {2: Fate.ANSWERED, 4: Fate.REFUSED}.get(opened.code >> 5, Fate.UNKNOWN)
        call.on_end(exchange)
