"""By what a device's own repeat of a report is recognised (DESIGN section 3.1)."""

from __future__ import annotations

from array import array
from hashlib import blake2b

from metering.envelope import Report
from metering.model import DecodedReport

MAX_REMEMBERED = 400_000


def identity_of(device: str, report: Report, content: DecodedReport) -> int:
    """A signed 64-bit hash: of the device's own counter and the readings, or without a counter of the raw bytes.

    Readings must fit int64. Device state is left out where there is a counter: a repeat measured anew may differ in it.
    """
    name = device.encode("utf-8", "replace")
    if content.seq is None:
        said = b"".join((name, b"\0raw%d\0" % report.content_format, report.payload))
    else:
        counter = b"\0seq%d\0%d\0%d\0" % (content.seq, content.kind, len(content.ts_s))
        untimed = b"\0%d" % (content.untimed_index_ml or 0)
        said = b"".join((name, counter, array("q", content.ts_s), array("q", content.index_ml), untimed))
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big", signed=True)


class RepeatMemory:
    """The newest reports that were taken, bounded; what it does not know may still be in the database."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[tuple[str, int], int] = {}
        self._old: dict[tuple[str, int], int] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def has(self, device: str, identity: int, received_at_us: int, window_us: int) -> bool:
        """Whether the same report was taken within the window before or after."""
        key = (device, identity)
        taken_us = self._young.get(key)
        if taken_us is None:
            taken_us = self._old.get(key)
        return taken_us is not None and abs(received_at_us - taken_us) <= window_us

    def add(self, device: str, identity: int, received_at_us: int) -> None:
        """Remember a report that is committed. Forgets the older half when full."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[(device, identity)] = received_at_us

    def clear(self) -> None:
        self._young, self._old = {}, {}
