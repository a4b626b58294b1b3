"""What requests of the last EXCHANGE_LIFETIME were answered, so that a retransmission gets the same again. Pure.

A retransmission is known by all its bytes, message ID and token included, from whatever address a NAT gave it. Nothing
is kept of the usual answer, which is the same bytes whenever it is made.
"""

from __future__ import annotations

from enum import Enum

from gateway.repeats import EXCHANGE_LIFETIME_S, RepeatMemory

MAX_PLAIN = 1 << 19
"""Requests with the usual answer, 16 bytes each."""
MAX_SEALED = 8192
"""Answers kept as they were: those that carried a command, and refusals."""


class Usual(Enum):
    """What became of a request whose answer is not kept."""

    PLAIN = "plain"
    """Answered 2.04 and nothing more, under the request's own nonce."""
    SLOW = "slow"
    """Given to aiocoap, which has a memory of its own."""


class AnswerMemory:
    """`now`: any monotonic clock in seconds."""

    def __init__(self) -> None:
        self._usual = RepeatMemory(MAX_PLAIN)
        self._sealed: dict[bytes, tuple[float, bytes]] = {}

    def __len__(self) -> int:
        """Answers kept as they were."""
        return len(self._sealed)

    @property
    def evictions(self) -> int:
        return self._usual.evictions

    def remember(self, datagram: bytes, answer: Usual | bytes, now: float) -> None:
        if isinstance(answer, Usual):
            self._usual.remember((answer.value, 0, datagram), now)
            return
        if len(self._sealed) >= MAX_SEALED:
            del self._sealed[next(iter(self._sealed))]
        self._sealed[datagram] = now + EXCHANGE_LIFETIME_S, answer

    def recall(self, datagram: bytes, now: float) -> Usual | bytes | None:
        """None: this is no retransmission of anything that was answered lately."""
        kept = self._sealed.get(datagram)
        if kept is not None and now < kept[0]:
            return kept[1]
        for usual in Usual:
            if self._usual.recalls((usual.value, 0, datagram), now):
                return usual
        return None
