"""One CoAP request on its way, the port it leaves by, and how long the sender waits for what (RFC 7252 section 4)."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from simulators import message

MESSAGE_IDS = 1 << 16


@dataclass(frozen=True, slots=True)
class Timers:
    """RFC 7252 section 4.8. `unavailable_retries`: how often a 5.03 is tried again, as a new message, after its
    Max-Age or `pause_cap_s`, whichever is shorter; a meter's battery allows few."""

    ack_timeout_s: float = 2.0
    ack_random_factor: float = 1.5
    max_retransmit: int = 4
    exchange_lifetime_s: float = 247.0
    separate_wait_s: float = 93.0
    unavailable_retries: int = 0
    pause_cap_s: float = 60.0


NB_IOT = Timers(ack_timeout_s=10.0)
"""What NB-IoT firmware uses (PROTOCOLS F)."""


class Fate(Enum):
    """What the sender knows of a request in the end."""

    ANSWERED = "answered"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """No answer, a reset or a 5.xx: the report may be stored or not."""


class Answer(NamedTuple):
    fate: Fate
    code: int
    payload: bytes


class Exchange:
    """One request on its way. `tag` is the caller's; `fate`, `code`, `options` and `payload` are set when `on_end` is
    called."""

    __slots__ = (
        "attempt", "code", "confirmable", "due_tick", "fate", "head", "intended", "lane", "message_id", "on_end",
        "options", "payload", "port", "tag", "tail", "timeout_s", "token", "tries", "waiting",
    )  # fmt: skip

    port: Port
    head: bytes
    token: int
    message_id: int
    attempt: int
    """Retransmissions so far; -1 while a 5.03's Max-Age runs."""
    timeout_s: float
    due_tick: int

    def __init__(self, tail: bytes, on_end: OnEnd, tag: object, intended: float, lane: int, confirmable: bool) -> None:
        self.tail, self.on_end, self.tag, self.intended, self.lane = tail, on_end, tag, intended, lane
        self.confirmable = confirmable
        self.fate: Fate | None = None
        self.code = message.EMPTY
        self.payload = b""
        self.options: list[tuple[int, bytes]] = []
        self.tries = 0
        self.waiting = False


OnEnd = Callable[[Exchange], None]


class Ends(Protocol):
    """Counts of how exchanges ended; `codes` by CoAP code of those that were not answered with success."""

    answered: int
    refused: int
    unknown: int
    codes: dict[str, int]


def count_end(ends: Ends, exchange: Exchange | Answer) -> None:
    if exchange.fate is Fate.ANSWERED:
        ends.answered += 1
        return
    if exchange.fate is Fate.REFUSED:
        ends.refused += 1
    else:
        ends.unknown += 1
    code = message.code_text(exchange.code) if exchange.code else "no answer"
    ends.codes[code] = ends.codes.get(code, 0) + 1


class Port:
    """One UDP socket with its message ids and the exchanges that wait on it.

    Not connected: a connected one is told when nobody listens, and libuv stops reading a socket at its first error.
    """

    __slots__ = ("born", "by_message_id", "next_id", "socket", "used")

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.socket, self.born, self.used = sock, now, 0
        self.next_id = random.randrange(MESSAGE_IDS)  # noqa: S311 - not a secret: a simulator plays the meter
        self.by_message_id: dict[int, Exchange] = {}


@dataclass(slots=True)
class SenderCounts:
    """What a sender of exchanges did."""

    datagrams_sent: int = 0
    datagrams_received: int = 0
    retransmissions: int = 0
    lost_at_send: int = 0
    """The kernel took no datagram: its buffer is full, or there is no route."""
    stray: int = 0
    """Received, but no answer to an exchange that is open: late repeats, and what is not CoAP."""
    unavailable_retries: int = 0
    ports_opened: int = 0
