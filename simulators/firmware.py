"""A meter fetches an image: block after block (RFC 7959), each asked for until it comes. No socket of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from simulators import message
from simulators.exchange import Answer, Fate

BLOCK2 = 23
SZX = 5
BLOCK_BYTES = 1 << SZX + 4
TRIES_A_BLOCK = 5

Ask = Callable[[bytes], Awaitable[Answer]]
"""Sends a GET with these options."""


def path_of(uri: str) -> list[str]:
    return [part for part in urlsplit(uri).path.split("/") if part]


def block_tail(uri: str, number: int) -> bytes:
    """Options that ask for one block."""
    block = number << 4 | SZX
    options = [(message.URI_PATH, part.encode()) for part in path_of(uri)]
    return message.encode_options([*options, (BLOCK2, block.to_bytes((block.bit_length() + 7) // 8, "big"))])


async def fetch(ask: Ask, uri: str, size_bytes: int, begun: bytes = b"") -> tuple[bytes, bool]:
    """What came of the image, and whether that is all. `begun`: what an earlier attempt got; it goes on there."""
    image = bytearray(begun[: len(begun) // BLOCK_BYTES * BLOCK_BYTES])
    while len(image) < size_bytes:
        part = await _block(ask, block_tail(uri, len(image) // BLOCK_BYTES))
        if part is None:
            return bytes(image), False
        image += part
        if len(part) < BLOCK_BYTES:
            break
    return bytes(image), len(image) == size_bytes


async def _block(ask: Ask, tail: bytes) -> bytes | None:
    for _ in range(TRIES_A_BLOCK):
        answer = await ask(tail)
        if answer.fate is Fate.ANSWERED:
            return answer.payload
        if answer.fate is Fate.REFUSED:
            return None
    return None
