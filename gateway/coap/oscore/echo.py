"""Echo values (RFC 9175): prove that a request was made after we asked for it, without memory of whom we asked. Pure.

Value: seconds of our clock (4 bytes) and a MAC over them and the context, under a secret of this process. RFC 9175
appendix A, method 2.
"""

from __future__ import annotations

import hashlib
import hmac
import os

ECHO = 252
LIFETIME_S = 600
"""Ample for a meter in coverage level 2 that wakes once more; RFC 9175 wants it finite."""
ASKED_PER_S = 4
"""Of one context: whoever plays a recorded request buys no more answers and Partial IVs with it than that."""
MAX_ASKED = 8192
"""Contexts asked lately; further ones make the table forget its oldest."""
MAC_BYTES = 8
_TIME_BYTES = 4


class EchoValues:
    """`now`: any monotonic clock in seconds. A value dies with the process: the meter is then asked once more."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._asked: dict[bytes, tuple[float, int]] = {}

    def ask(self, fingerprint: bytes, now: float) -> bytes | None:
        """A value for a context that has to prove itself; None when it was asked often enough in this second."""
        since, count = self._asked.pop(fingerprint, (now, 0))
        if now - since >= 1:
            since, count = now, 0
        if len(self._asked) >= MAX_ASKED:
            del self._asked[next(iter(self._asked))]
        self._asked[fingerprint] = since, min(count + 1, ASKED_PER_S)
        return self.make(fingerprint, now) if count < ASKED_PER_S else None

    def make(self, fingerprint: bytes, now: float) -> bytes:
        """As `ask`, however often."""
        time = int(now).to_bytes(_TIME_BYTES, "big")
        return time + self._mac(fingerprint, time)

    def proves(self, value: bytes, fingerprint: bytes, now: float) -> bool:
        """Whether the request that carries `value` was made within LIFETIME_S."""
        time = value[:_TIME_BYTES]
        if not hmac.compare_digest(value[_TIME_BYTES:], self._mac(fingerprint, time)):
            return False
        return 0 <= int(now) - int.from_bytes(time, "big") <= LIFETIME_S

    def _mac(self, fingerprint: bytes, time: bytes) -> bytes:
        return hmac.digest(self._secret, fingerprint + time, hashlib.sha256)[:MAC_BYTES]
