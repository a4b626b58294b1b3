"""Turns answers into protected ones (RFC 8613 sections 4.2 and 8.3), and keeps the rule of nonces. Pure.

Under a request's nonce only ever the usual answer is sealed, 2.04 and nothing more: its plaintext is always the same,
so that no retransmission, restart or other process can make a nonce meet two plaintexts, without any memory. Every
other answer takes a Partial IV of ours.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.coap import message as coap
from gateway.coap.exchange import Exchange
from gateway.coap.message import Message
from gateway.coap.oscore.context import Context
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.option import response_option
from gateway.coap.refusal import Refusal

_CHANGED = bytes((coap.CHANGED,))
_UNDER_REQUESTS_NONCE = b"\x90\xff"
"""OSCORE option without a value, payload marker."""
_HEAD_BYTES = 4


class Call(NamedTuple):
    """A request whose sender's context is known. `number`: its Partial IV. `window`: where its
    context's replay window is. `shown`: where it came from, for people."""

    device: str
    context: Context
    window: int
    number: bytes
    datagram: bytes
    exchange: Exchange
    shown: str

    @property
    def sequence(self) -> int:
        """Its Partial IV as a number."""
        return int.from_bytes(self.number, "big")


class Sealer:
    """Answers are what follows the token of a 2.04, the outer code of every protected answer."""

    def __init__(self, numbers: SenderNumbers) -> None:
        self._numbers = numbers

    def usual(self, call: Call) -> bytes:
        """2.04 and nothing more: the same bytes whenever it is made."""
        return _UNDER_REQUESTS_NONCE + call.context.seal(call.number, _CHANGED)

    def own(self, call: Call, plaintext: bytes) -> bytes | None:
        """Code, options and payload under a Partial IV of ours; None when there is none left for now."""
        number = self._numbers.take()
        if number is None:
            return None
        option = response_option(number)
        return bytes((0x90 | len(option),)) + option + b"\xff" + call.context.seal(call.number, plaintext, number)

    def changed(self, call: Call, said: bytes) -> bytes | None:
        """2.04 with options and payload."""
        return self.own(call, _CHANGED + said)

    def refusal(self, call: Call, refusal: Refusal) -> bytes | None:
        options = [] if refusal.option is None else [refusal.option]
        message = coap.encode(Message(coap.NON, refusal.code, 0, b"", options, refusal.diagnostic))
        return self.own(call, message[1:2] + message[_HEAD_BYTES:])

    def message(self, call: Call, answer: bytes) -> bytes | None:
        """A whole answer in the clear as a protected datagram. An empty message is left as it is (section 4.2)."""
        if answer[1] == coap.EMPTY:
            return answer
        token_end = _HEAD_BYTES + (answer[0] & 15)
        sealed = self.own(call, answer[1:2] + answer[token_end:])
        return None if sealed is None else answer[:1] + _CHANGED + answer[2:token_end] + sealed


def inner_datagram(call: Call, plaintext: bytes) -> bytes:
    """The request in the clear, with type, message ID and token of the outer one."""
    datagram = call.datagram
    token_end = _HEAD_BYTES + (datagram[0] & 15)
    return datagram[:1] + plaintext[:1] + datagram[2:token_end] + plaintext[1:]
