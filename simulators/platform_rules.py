"""How an operator's platform treats who receives its pushes (PROTOCOLS C, CTWing AEP). Pure; times are any clock's s.

A push that fails is tried again RETRIES times. After more than CONSECUTIVE failed pushes in a row, or more than
FAILED_SHARE of those of a WINDOW_S, it pauses PAUSE_S and never pushes what came in meanwhile.
"""

from __future__ import annotations

import base64
import json
from collections import deque

RETRIES = 3
CONSECUTIVE = 100
FAILED_SHARE = 0.10
WINDOW_S = 10.0
WINDOW_MIN = 20
"""Fewer pushes than these say nothing of a share."""

PAUSE_S = 60.0


class CoolDown:
    """`pause_s`: shorter for who has no minute."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._recent: deque[tuple[float, bool]] = deque()
        self._in_a_row = 0
        self._until = float("-inf")
        self.pauses = 0

    def is_pausing(self, now: float) -> bool:
        return now < self._until

    def pushed(self, taken: bool, now: float) -> None:
        """A push has its last answer."""
        self._in_a_row = 0 if taken else self._in_a_row + 1
        self._recent.append((now, taken))
        while self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()
        failed = sum(not good for _, good in self._recent)
        share_is_bad = len(self._recent) >= WINDOW_MIN and failed > FAILED_SHARE * len(self._recent)
        if (self._in_a_row > CONSECUTIVE or share_is_bad) and not self.is_pausing(now):
            self._until, self._in_a_row = now + self._pause_s, 0
            self._recent.clear()
            self.pauses += 1


def ctwing_push(imei: str, frame: bytes, timestamp_ms: int, sequence: int, product_id: str = "10053421") -> bytes:
    """A dataReport of the topic v1/up/ad, as CTWing posts it."""
    content = {
        "upPacketSN": sequence, "upDataSN": -1, "topic": "v1/up/ad", "timestamp": timestamp_ms, "tenantId": "1",
        "serviceId": "", "protocol": "lwm2m", "productId": product_id,
        "payload": {"APPdata": base64.b64encode(frame).decode()}, "messageType": "dataReport", "deviceType": "",
        "deviceId": f"{int(imei):032x}" if imei.isdecimal() else imei, "assocAssetId": "", "IMSI": "undefined",
        "IMEI": imei,
    }  # fmt: skip
    return json.dumps(content, separators=(",", ":")).encode()
