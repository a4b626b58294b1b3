"""A request on its way to its answer, as both of the gateway's own lanes know it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from metering.commands import WaitingCommand

Peer = tuple[Any, ...]
"""A socket address as `recvfrom` returns it."""


class Exchange(NamedTuple):
    """What is needed to answer a request. `echo`: message ID and token as they came. `address`: 128 bits."""

    type: int
    echo: bytes
    peer: Peer
    address: int
    bytes: int


make_exchange: Callable[[tuple[int, bytes, Peer, int, int]], Exchange] = partial(tuple.__new__, Exchange)
"""Makes one in a third of the time that naming its fields takes."""


def command_payload(command: WaitingCommand) -> bytes:
    """What follows the token of an answer that carries a command: Content-Format (option 12, one byte), payload."""
    return bytes((0xC1, command.content_format, 0xFF)) + command.answer()
