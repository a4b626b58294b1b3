"""Requests of ours to a client and their retransmission (RFC 7252 section 4.2), one at a time to each client. Sans-IO.

An `Ask` says what is wanted, an `Exchange` is one on its way: it gives datagrams to send, is told what came and the
time, and says how it stands.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gateway.coap import message as coap
from gateway.coap.message import Message

PUT, DELETE, FETCH = 0x03, 0x04, 0x05
OBSERVE = 6
CONTENT = 0x45
DELETED = 0x42
NOT_ACCEPTABLE = 0x86
CONTINUE = 0x5F

MAX_RETRANSMIT = 3
ACK_RANDOM_FACTOR = 1.5
SEPARATE_WAIT_S = 60.0
"""For an answer after an empty acknowledgement."""


class Ask(NamedTuple):
    """One request. `path` as LwM2M writes it; `observe`: 0 begins an observation, 1 ends it (RFC 7641)."""

    method: int
    path: str
    payload: bytes = b""
    content_format: int | None = None
    accept: int | None = None
    observe: int | None = None
    query: tuple[str, ...] = ()
    block2: int | None = None
    block1: int | None = None
    size1: int | None = None

    def options(self, root: str) -> list[tuple[int, bytes]]:
        """Rising by number. `root`: the client's alternate path, put before."""
        options = [] if self.observe is None else [(OBSERVE, coap.uint(self.observe))]
        parts = [part for part in f"{root}{self.path}".split("/") if part]
        options += [(coap.URI_PATH, part.encode()) for part in parts]
        if self.content_format is not None:
            options.append((coap.CONTENT_FORMAT, coap.uint(self.content_format)))
        options += [(coap.URI_QUERY, part.encode()) for part in self.query]
        if self.accept is not None:
            options.append((coap.ACCEPT, coap.uint(self.accept)))
        if self.block2 is not None:
            options.append((coap.BLOCK2, coap.uint(self.block2)))
        if self.block1 is not None:
            options.append((coap.BLOCK1, coap.uint(self.block1)))
        if self.size1 is not None:
            options.append((coap.SIZE1, coap.uint(self.size1)))
        return options


class Standing(Enum):
    OPEN = "open"
    ANSWERED = "answered"
    RESET = "reset"
    SILENT = "silent"


class Exchange:
    """One confirmable request. `spread`: a random number from 0 to 1. `ack_timeout_s`: see RFC 7252 section 4.8."""

    __slots__ = ("_attempts", "_timeout_s", "answer", "datagram", "due_at", "message_id", "standing", "token")

    def __init__(
        self, ask: Ask, root: str, token: bytes, message_id: int, ack_timeout_s: float, spread: float, now: float
    ) -> None:
        self.token, self.message_id = token, message_id
        self.datagram = coap.encode(Message(coap.CON, ask.method, message_id, token, ask.options(root), ask.payload))
        self.standing = Standing.OPEN
        self.answer: Message | None = None
        self._attempts = 0
        self._timeout_s = ack_timeout_s * (1 + (ACK_RANDOM_FACTOR - 1) * spread)
        self.due_at = now + self._timeout_s

    def due(self, now: float) -> bool:
        """Whether the datagram is to be sent once more; the exchange is SILENT when it had its retransmissions."""
        if self.standing is not Standing.OPEN or now < self.due_at:
            return False
        if self._attempts >= MAX_RETRANSMIT:
            self.standing = Standing.SILENT
            return False
        self._attempts += 1
        self._timeout_s *= 2
        self.due_at = now + self._timeout_s
        return True

    def matches(self, message: Message) -> bool:
        """Whether the exchange waits for this: by message ID on an acknowledgement or reset, else by token. Once it was
        answered, what bears its token is a notification."""
        if self.standing is not Standing.OPEN:
            return False
        if message.type >= coap.ACK and message.message_id != self.message_id:
            return False
        return message.token == self.token if message.code != coap.EMPTY else message.type >= coap.ACK

    def receive(self, message: Message, now: float) -> None:
        """A message that `matches`."""
        if message.type == coap.RST:
            self.standing = Standing.RESET
        elif message.code == coap.EMPTY:
            self._attempts, self.due_at = MAX_RETRANSMIT, now + SEPARATE_WAIT_S
        else:
            self.standing, self.answer = Standing.ANSWERED, message


class Reply(NamedTuple):
    """What an answer says, from its options. `observe`: None when the client observes nothing."""

    code: int
    payload: bytes
    content_format: int | None
    observe: int | None
    block2: int | None
    block1: int | None = None

    @property
    def success(self) -> bool:
        return self.code >> 5 == 2

    @property
    def more(self) -> bool:
        """RFC 7959: further blocks follow."""
        return self.block2 is not None and bool(self.block2 & 8)


def read_reply(message: Message) -> Reply:
    """Options that are too long to be what they claim are left out."""
    found: dict[int, int] = {}
    for number, value in message.options:
        if number in (OBSERVE, coap.CONTENT_FORMAT, coap.BLOCK2, coap.BLOCK1) and len(value) <= 3:
            found.setdefault(number, int.from_bytes(value, "big"))
    return Reply(
        message.code, message.payload, found.get(coap.CONTENT_FORMAT), found.get(OBSERVE), found.get(coap.BLOCK2),
        found.get(coap.BLOCK1),
    )  # fmt: skip


def acknowledgement(message_id: int) -> bytes:
    return bytes((coap.VERSION << 6 | coap.ACK << 4, coap.EMPTY)) + message_id.to_bytes(2, "big")


def reset(message_id: int) -> bytes:
    return bytes((coap.VERSION << 6 | coap.RST << 4, coap.EMPTY)) + message_id.to_bytes(2, "big")
