"""Which gateway holds the one session at nats-server's listener, MQTT 3.1.1 having no shared subscriptions. Pure.

The one that holds it says so every second in the stream's network; one that hears nothing for a while takes it over.
Two that try at once are harmless: the broker keeps the newer connection of a client id and ends the older, which then
hears the other and stands by.
"""

from __future__ import annotations

SUBJECT = "mqtt.holder"
ASK = b""
"""Sent by one that has just started; whoever holds the session answers with its name."""
BEAT_EVERY_S = 1.0
ASK_S = 0.7
SILENCE_S = 3.0


class Turn:
    """`name` tells this process from the others; `rank` (its worker number) keeps them from trying all at once."""

    def __init__(self, name: bytes, rank: int, now: float) -> None:
        self.name = name
        self._later_s = 0.2 * rank
        self._next_at = now + ASK_S + self._later_s
        self._heard_at = float("-inf")

    def heard(self, message: bytes, now: float) -> None:
        """Of oneself, or a question: nothing."""
        if message not in (ASK, self.name):
            self._heard_at = now
            self._next_at = now + SILENCE_S + self._later_s

    def is_mine(self, now: float) -> bool:
        """Whether to connect."""
        return now >= self._next_at

    def other_holds(self, now: float) -> bool:
        """Whether another process has said a moment ago that it has the session."""
        return now - self._heard_at < SILENCE_S
