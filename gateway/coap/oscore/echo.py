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
MAC_BYTES = 8
_TIME_BYTES = 4


class EchoValues:
    """`now`: any monotonic clock in seconds. A value dies with the process: the meter is then asked once more."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)

    def make(self, fingerprint: bytes, now: float) -> bytes:
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
