"""A meter's side of OSCORE (RFC 8613): requests protected, answers opened. Bytes in, bytes out.

Written apart from the gateway's side, so that each proves the other; AES-CCM-16-64-128 and HKDF SHA-256 only.
"""

from __future__ import annotations

from typing import NamedTuple

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from simulators import message

OSCORE, ECHO = 9, 252
ALGORITHM = 10
NONCE_BYTES = 13
TAG_BYTES = 8
NUMBER_BYTES = 5
ID_FIELD_BYTES = 7


class ProtectionError(ValueError):
    """An answer that was not sealed with this context, or is no protected answer."""


class Opened(NamedTuple):
    """What an answer says inside. `options` in the order of the wire."""

    code: int
    options: list[tuple[int, bytes]]
    payload: bytes

    @property
    def echo(self) -> bytes | None:
        """What the server wants to see again (RFC 9175)."""
        return next((value for number, value in self.options if number == ECHO), None)


class ProtectedMeter:
    """One security context. `next_number`: the first Partial IV to use; whoever keeps meters over runs keeps it too,
    for a number must never be used twice."""

    def __init__(
        self,
        master_secret: bytes,
        sender_id: bytes,
        server_id: bytes = b"",
        master_salt: bytes = b"",
        id_context: bytes | None = None,
        next_number: int = 0,
    ) -> None:
        self.sender_id, self.server_id, self.id_context = sender_id, server_id, id_context
        self.next_number = next_number

        def derive(identity: bytes, name: str, size: int) -> bytes:
            """Section 3.2.1."""
            info = cbor2.dumps([identity, id_context, ALGORITHM, name, size])
            return HKDF(SHA256(), size, master_salt, info).derive(master_secret)

        self._sender = AESCCM(derive(sender_id, "Key", 16), tag_length=TAG_BYTES)
        self._recipient = AESCCM(derive(server_id, "Key", 16), tag_length=TAG_BYTES)
        self._common_iv = int.from_bytes(derive(b"", "IV", NONCE_BYTES), "big")

    def protect(self, code: int, tail: bytes) -> tuple[int, bytes]:
        """Number, and options and payload of the outer POST, of a request whose options and payload are `tail`."""
        number, self.next_number = self.next_number, self.next_number + 1
        return number, self.protect_as(number, code, tail)

    def protect_as(self, number: int, code: int, tail: bytes) -> bytes:
        """The same under a number that the caller sees to."""
        short = _short(number)
        ciphertext = self._sender.encrypt(self._nonce(self.sender_id, short), bytes((code,)) + tail, self._aad(short))
        option = bytes((len(short) | 0x08,)) + short + self.sender_id
        return message.encode_options([(OSCORE, option)]) + b"\xff" + ciphertext

    def open(self, number: int, answer: message.Message) -> Opened:
        """What the answer to request `number` says. Raises ProtectionError."""
        option = next((value for name, value in answer.options if name == OSCORE), None)
        if option is None:
            raise ProtectionError("the answer is not protected")
        own = option[1 : 1 + (option[0] & 7)] if option else b""
        nonce = self._nonce(self.server_id, own) if own else self._nonce(self.sender_id, _short(number))
        try:
            plaintext = self._recipient.decrypt(nonce, answer.payload, self._aad(_short(number)))
        except InvalidTag:
            raise ProtectionError("the answer does not open") from None
        inner = message.decode(bytes((0x40, plaintext[0], 0, 0)) + plaintext[1:])
        return Opened(inner.code, inner.options, inner.payload)

    def open_request(self, asked: message.Message) -> tuple[bytes, bytes]:
        """Partial IV of a request of the server, and its code, options and payload. Raises ProtectionError."""
        option = next((value for name, value in asked.options if name == OSCORE), None)
        if not option or not option[0] & 0x08 or option[1 + (option[0] & 7) :] != self.server_id:
            raise ProtectionError("the request is not protected with this context")
        number = option[1 : 1 + (option[0] & 7)]
        nonce, aad = self._nonce(self.server_id, number), self._aad(number, self.server_id)
        try:
            return number, self._recipient.decrypt(nonce, asked.payload, aad)
        except InvalidTag:
            raise ProtectionError("the request does not open") from None

    def protect_answer(self, number: bytes, plaintext: bytes, own: bool) -> tuple[bytes, bytes]:
        """OSCORE option and ciphertext of the answer to request `number`, under a number of our `own` or under the
        request's nonce, which a notification and a second answer must not use."""
        short, option = b"", b""
        if own:
            short, self.next_number = _short(self.next_number), self.next_number + 1
            option = bytes((len(short),)) + short
        nonce = self._nonce(self.sender_id, short) if own else self._nonce(self.server_id, number)
        return option, self._sender.encrypt(nonce, plaintext, self._aad(number, self.server_id))

    def _aad(self, number: bytes, asker: bytes | None = None) -> bytes:
        """Section 5.4; `asker`: whose request it is, else the meter's."""
        external = cbor2.dumps([1, [ALGORITHM], self.sender_id if asker is None else asker, number, b""])
        return cbor2.dumps(["Encrypt0", b"", external])

    def _nonce(self, identity: bytes, number: bytes) -> bytes:
        """Section 5.2."""
        said = bytes((len(identity),)) + identity.rjust(ID_FIELD_BYTES, b"\0") + number.rjust(NUMBER_BYTES, b"\0")
        return (int.from_bytes(said, "big") ^ self._common_iv).to_bytes(NONCE_BYTES, "big")


def with_echo(tail: bytes, echo: bytes) -> bytes:
    """Options and payload with this Echo option; none of the other options is higher than it."""
    inner = message.decode(b"\x40\x02\0\0" + tail)
    kept = [option for option in inner.options if option[0] != ECHO]
    options = message.encode_options([*kept, (ECHO, echo)])
    return options + (b"\xff" + inner.payload if inner.payload else b"")


def _short(number: int) -> bytes:
    """Section 5: leading zeros removed, zero itself one byte."""
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
