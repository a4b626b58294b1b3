"""An LwM2M meter that speaks within OSCORE only (RFC 8613), to `simulators.lwm2m_client` as if it spoke in plain."""

from __future__ import annotations

from typing import Any

from simulators import message
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import FETCH, OBSERVE, Client
from simulators.message import Message, Type
from simulators.oscore import OSCORE, ProtectedMeter, ProtectionError, with_echo

CONTENT = 0x45


class ProtectedLwm2mMeter(Lwm2mMeter):
    """See `Lwm2mMeter`. `unprotected` counts requests of the server that came in plain and were left without answer."""

    def __init__(self, host: str, port: int, client: Client, context: ProtectedMeter, **more: Any) -> None:
        super().__init__(host, port, client, **more)
        self._context = context
        self._observed: dict[bytes, bytes] = {}
        self._answered: dict[int, bytes] = {}
        self.unprotected = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        said = message.decode(data)
        if said.code == message.EMPTY or said.code >= 0x20 or self._asleep:
            super().datagram_received(data, addr)
            return
        if said.message_id not in self._answered:
            try:
                self._answered[said.message_id] = self._answer(said)
            except ProtectionError:
                self.unprotected += 1
                return
        self.tell(self._answered[said.message_id])
        self._heard.set()

    def _answer(self, said: Message) -> bytes:
        number, plaintext = self._context.open_request(said)
        head = bytes((message.first_byte(said.type, len(said.token)), plaintext[0]))
        inner = self.client.receive(head + said.message_id.to_bytes(2, "big") + said.token + plaintext[1:])
        if inner is None:
            raise ProtectionError("what was protected is no request")
        if said.code == FETCH:
            self._observed[said.token] = number
        return self._protected(inner, number, own=said.code == FETCH)

    def _protected(self, inner: bytes, number: bytes, own: bool) -> bytes:
        """Outside an answer is 2.04, of an observation 2.05."""
        answer = message.decode(inner)
        token_end = 4 + len(answer.token)
        option, ciphertext = self._context.protect_answer(number, inner[1:2] + inner[token_end:], own)
        observe = [(name, value) for name, value in answer.options if name == OBSERVE]
        code = CONTENT if observe else message.CHANGED
        options = message.encode_options([*observe, (OSCORE, option)])
        return inner[:1] + bytes((code,)) + inner[2:token_end] + options + b"\xff" + ciphertext

    def notification(self, path: str, payload: bytes, confirmable: bool | None = None) -> bytes:
        """Ready to be told. Raises KeyError when nobody observes the path."""
        inner = self.client.notify(path, payload, confirmable)
        return self._protected(inner, self._observed[self.client.observed[path]], own=True)

    def protected(self, datagram: bytes, echo: bytes = b"") -> tuple[int, bytes]:
        """Partial IV, and the datagram of a request that is given in plain."""
        token_end = 4 + (datagram[0] & 15)
        tail = datagram[token_end:]
        number, outer = self._context.protect(datagram[1], with_echo(tail, echo) if echo else tail)
        return number, datagram[:1] + bytes((message.POST,)) + datagram[2:token_end] + outer

    async def ask(self, datagram: bytes) -> Message:
        """A request in plain; what the answer says inside. The Echo of a server that does not know us is answered."""
        if datagram[1] == message.EMPTY or datagram[1] >= 0x20:
            return await super().ask(datagram)
        echo = b""
        while True:
            number, outer = self.protected(datagram, echo)
            answer = await super().ask(outer)
            opened = self._context.open(number, answer)
            if opened.echo is None or echo:
                break
            echo = opened.echo
            datagram = datagram[:2] + (int.from_bytes(datagram[2:4], "big") ^ 0x8000).to_bytes(2, "big") + datagram[4:]
        inner = Message(Type.ACK, opened.code, answer.message_id, answer.token, opened.options, opened.payload)
        head = bytes((message.first_byte(Type.ACK, len(inner.token)), inner.code)) + datagram[2:4] + inner.token
        self.client.receive(head + message.encode_options(inner.options))
        return inner
