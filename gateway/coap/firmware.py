"""``GET /fw/{SHA-256 or its beginning}`` by Block2 (RFC 7959): a device fetches the image that a command of its names.

Every block is a request that stands for itself: what is answered follows from the waiting commands and the file alone.
So a transfer goes on after any pause, from any address and with any gateway, nothing is kept for a retransmission
(RFC 7252 section 4.5 lets idempotent requests be answered anew), and no transfer fills aiocoap's memory of messages,
which at its bound would let one address prefix fetch 16 blocks a second.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.coap import message as coap
from gateway.coap.behind_oscore import BehindOscore, Protected
from gateway.coap.exchange import Peer
from gateway.coap.lanes import Conversations, SlowLane
from gateway.coap.message import Message, Request
from gateway.coap.peers import SecurePeer
from gateway.coap.refusal import Refusal, answer_message
from gateway.coap.remote import Vouched
from gateway.commands import Commands
from gateway.metrics import Counters, Readings
from metering.commands import CommandKind
from metering.errors import UnavailableError
from metering.model import Authentication, ContentFormat

PATH = b"fw"
FEWEST_DIGITS, MOST_DIGITS = 16, 64
"""Of the SHA-256 in the path."""

PREFERRED_SZX = 5
"""512 bytes, what small modules take in one datagram, unless the device asks for another size."""

RESERVED_SZX = 7
ETAG, SIZE2 = 4, 28
ETAG_BYTES = 8
CONTENT, NOT_ACCEPTABLE = 0x45, 0x86

TRANSFER_IDLE_S = 60.0
"""A device that asks for no block this long makes room for another; it may go on when there is room again."""

MAX_TASKS = 512
_DIGITS = frozenset(b"0123456789abcdef")


class Reader(Protocol):
    async def read(self, digest: bytes, size_bytes: int, offset: int, length: int) -> bytes: ...


class Image(NamedTuple):
    digest: bytes
    size_bytes: int


class Block(NamedTuple):
    number: int
    szx: int

    @property
    def bytes(self) -> int:
        return 1 << self.szx + 4

    @property
    def offset(self) -> int:
        return self.number * self.bytes


class Transfers:
    """Devices that fetch now, `most` at a time. `now` in seconds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._last_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last_s)

    def admits(self, device: str, now: float) -> bool:
        while self._last_s and now - next(iter(self._last_s.values())) > TRANSFER_IDLE_S:
            self._last_s.popitem(last=False)
        if device not in self._last_s and len(self._last_s) >= self._most:
            return False
        self._last_s[device] = now
        self._last_s.move_to_end(device)
        return True


class FirmwareLane:
    """Answers requests that another lane read. `images`: None where this gateway serves none."""

    def __init__(
        self, images: Reader | None, commands: Commands, counters: Counters, max_transfers: int, retry_after_s: int
    ) -> None:
        self._images, self._commands, self._counters = images, commands, counters
        self._transfers = Transfers(max_transfers)
        self._max_age = (coap.MAX_AGE, coap.uint(retry_after_s))
        self._tasks: set[asyncio.Task[None]] = set()
        self._message_id = random.getrandbits(16)
        self._blocks = 0

    def gauges(self) -> Readings:
        """For /metrics."""
        return {"firmware_transfers": ("Devices that fetched firmware within a minute", lambda: len(self._transfers))}

    def totals(self) -> Readings:
        """For /metrics."""
        return {"firmware_blocks": ("Blocks of firmware sent", lambda: self._blocks)}

    def serves(self, path: list[bytes]) -> bool:
        return self._images is not None and len(path) == 2 and path[0] == PATH

    def request(
        self, message: Message, request: Request, who: Vouched | None, send: Callable[[bytes], None], now: float
    ) -> Refusal | None:
        """One for a path that it `serves`. A refusal is the caller's to send."""
        if who is None or who.authentication is Authentication.CLAIMED:
            return Refusal(coap.UNAUTHORIZED, "firmware_plain")
        if message.code != coap.GET:
            return Refusal(coap.METHOD_NOT_ALLOWED, "method", None, b"GET")
        image = self._wanted(request.path[1], who)
        if image is None:
            return Refusal(coap.NOT_FOUND, "firmware_not_waiting")
        block = read_block(message.options)
        if block is None or block.offset >= image.size_bytes:
            return Refusal(coap.BAD_REQUEST, "firmware_block")
        if not accepts_bytes(message.options):
            return Refusal(NOT_ACCEPTABLE, "firmware_accept", None, b"42")
        if len(self._tasks) >= MAX_TASKS or not self._transfers.admits(who.device, now):
            return Refusal(coap.SERVICE_UNAVAILABLE, "firmware_busy", self._max_age)
        task = asyncio.get_running_loop().create_task(self._respond(message, image, block, send), name="firmware")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    def _wanted(self, name: bytes, who: Vouched) -> Image | None:
        """The image that a waiting command of this device names."""
        if not FEWEST_DIGITS <= len(name) <= MOST_DIGITS or not _DIGITS.issuperset(name):
            return None
        digits = name.decode()
        for command in self._commands.waiting(who.device, who.authentication):
            if command.kind is CommandKind.FIRMWARE and bytes(command.arguments[1]).hex().startswith(digits):
                return Image(bytes(command.arguments[1]), int(command.arguments[2]))
        return None

    async def _respond(self, message: Message, image: Image, block: Block, send: Callable[[bytes], None]) -> None:
        assert self._images is not None  # noqa: S101 - `serves` said so, for the type checker
        kind, message_id = coap.ACK, message.message_id
        if message.type == coap.NON:
            self._message_id = message_id = self._message_id + 1 & 0xFFFF
            kind = coap.NON
        try:
            part = await self._images.read(image.digest, image.size_bytes, block.offset, block.bytes)
        except UnavailableError:
            self._counters.refused["firmware_image"] += 1
            options, code, part = [self._max_age], coap.SERVICE_UNAVAILABLE, b""
        else:
            self._blocks += 1
            options, code = _options(image, block), CONTENT
        self._counters.answers[coap.code_name(code)] += 1
        send(coap.encode(Message(kind, code, message_id, message.token, options, part)))


def _options(image: Image, block: Block) -> list[tuple[int, bytes]]:
    more = block.offset + block.bytes < image.size_bytes
    options = [
        (ETAG, image.digest[:ETAG_BYTES]),
        (coap.CONTENT_FORMAT, coap.uint(ContentFormat.OCTET_STREAM)),
        (coap.BLOCK2, coap.uint(block.number << 4 | more << 3 | block.szx)),
    ]
    if block.number == 0:
        options.append((SIZE2, coap.uint(image.size_bytes)))
    return options


def read_block(options: list[tuple[int, bytes]]) -> Block | None:
    """What Block2 asks for; the first block where there is none; None for the reserved size."""
    said = next((int.from_bytes(value, "big") for number, value in options if number == coap.BLOCK2), None)
    if said is None:
        return Block(0, PREFERRED_SZX)
    return None if said & 7 == RESERVED_SZX else Block(said >> 4, said & 7)


def accepts_bytes(options: list[tuple[int, bytes]]) -> bool:
    accept = next((int.from_bytes(value, "big") for number, value in options if number == coap.ACCEPT), None)
    return accept in (None, int(ContentFormat.OCTET_STREAM))


class FirmwareOnPort:
    """Requests in the clear and out of DTLS sessions; all that is no firmware goes on to `others`. See
    `gateway.coap.lanes.Conversations`."""

    def __init__(self, lane: FirmwareLane, others: Conversations, send: Callable[[bytes, Peer], None]) -> None:
        self._lane, self._others, self._send = lane, others, send

    def serves(self, path: list[bytes]) -> bool:
        return self._lane.serves(path) or self._others.serves(path)

    def request(
        self, message: Message, request: Request, datagram: bytes, peer: Peer, address: int, now: float, passed: bool
    ) -> Refusal | None:
        if not self._lane.serves(request.path):
            return self._others.request(message, request, datagram, peer, address, now, passed)
        who = Vouched(peer.device, peer.authentication) if isinstance(peer, SecurePeer) else None
        return self._lane.request(message, request, who, lambda answer: self._send(answer, peer), now)

    def answer(self, message: Message, datagram: bytes, peer: Peer, address: int, passed: bool) -> bool:
        return self._others.answer(message, datagram, peer, address, passed)


class FirmwareBehindOscore(BehindOscore):
    """Images for devices that OSCORE vouches for."""

    def __init__(self, lane: FirmwareLane, others: SlowLane, clock: Callable[[], float]) -> None:
        super().__init__(lane, others)
        self._lane, self._clock = lane, clock

    def take(self, asked: Protected) -> None:
        message, send = asked.message, asked.send
        refusal = self._lane.request(
            message, asked.request, asked.vouched, lambda answer: send(answer, asked.peer), self._clock()
        )  # fmt: skip
        if refusal is not None:
            kind = coap.ACK if message.type == coap.CON else coap.NON
            answer = answer_message(refusal, kind, message.message_id, message.token, len(asked.datagram))
            send(answer, asked.peer)
