"""Requests of ours to those whose contexts we share, and their answers (RFC 8613 sections 8.1 and 8.4). Pure.

A request has a Partial IV of ours; its answers, notifications included, are bound to it. A retransmission is the same
bytes: sealed anew it would be another request, and the answer to the first would not open.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from gateway.coap import message as coap
from gateway.coap.message import Message
from gateway.coap.oscore.context import Context
from gateway.coap.oscore.key_ring import KeyRing
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.option import OSCORE, OptionError, read_response_option, request_option

MAX_ASKED = 65_536
"""Requests remembered by token, about 400 bytes each, of which an observation needs its own for as long as it lasts.
The oldest goes; a registration keeps the numbers of its observations as well."""

OBSERVE = 6
_FETCH = 0x05
_HEAD_BYTES = 4


class Asked(NamedTuple):
    """`number`: its Partial IV. `datagram` and `sealed`: the request before and after, empty once it is answered."""

    device: str
    kid: bytes
    number: bytes
    datagram: bytes = b""
    sealed: bytes = b""

    @property
    def answered(self) -> bool:
        return not self.sealed


class Opened(NamedTuple):
    """An answer in the clear. `number`: its own Partial IV; empty when it used that of the request."""

    message: Message
    number: bytes
    context: Context


class Asking:
    """By token, which names one request at a time."""

    def __init__(self, ring: KeyRing, numbers: SenderNumbers) -> None:
        self._ring, self._numbers = ring, numbers
        self._asked: OrderedDict[bytes, Asked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._asked)

    def asked(self, token: bytes) -> Asked | None:
        return self._asked.get(token)

    def answered(self, token: bytes) -> None:
        asked = self._asked.get(token)
        if asked is not None:
            self._asked[token] = asked._replace(datagram=b"", sealed=b"")

    def seal(self, datagram: bytes, device: str, kid: bytes) -> bytes | None:
        """A well-formed request, protected for this device; None when it has this key no more or no number is left."""
        token_end = _HEAD_BYTES + (datagram[0] & 15)
        token = datagram[_HEAD_BYTES:token_end]
        before = self._asked.get(token)
        if before is not None and (before.kid, before.datagram) == (kid, datagram):
            return before.sealed
        context = self._context(device, kid)
        number = None if context is None else self._numbers.take()
        message = coap.parse(datagram)
        if context is None or number is None or not isinstance(message, Message):
            return None
        observe = next((value for name, value in message.options if name == OBSERVE), None)
        # Section 4.2: outside it is a POST, and a FETCH when intermediaries have to know that it observes.
        code = coap.POST if observe is None else _FETCH
        options = [] if observe is None else [(OBSERVE, observe)]
        options.append((OSCORE, request_option(number, context.server_id)))
        ciphertext = context.protect(number, datagram[1:2] + datagram[token_end:])
        sealed = coap.encode(message._replace(code=code, options=options, payload=ciphertext))
        self._keep(token, Asked(device, kid, number, datagram, sealed))
        return sealed

    def open(self, answer: Message, asked: Asked) -> Opened | None:
        """None for what was not sealed with this device's key as an answer to this request."""
        context = self._context(asked.device, asked.kid)
        if context is None:
            return None
        try:
            number = read_response_option(next(value for name, value in answer.options if name == OSCORE))
        except OptionError:
            return None
        plaintext = context.open_answer(asked.number, answer.payload, number)
        if plaintext is None:
            return None
        head = coap.encode(Message(answer.type, plaintext[0], answer.message_id, answer.token, [], b""))
        inner = coap.parse(head + plaintext[1:])
        return Opened(inner, number, context) if isinstance(inner, Message) and inner.code >= 64 else None

    def _context(self, device: str, kid: bytes) -> Context | None:
        """A kid may have become another device's."""
        holder = self._ring.find(kid, None)
        return holder.context if holder is not None and holder.device == device else None

    def _keep(self, token: bytes, asked: Asked) -> None:
        self._asked.pop(token, None)
        if len(self._asked) >= MAX_ASKED:
            self._asked.popitem(last=False)
        self._asked[token] = asked
