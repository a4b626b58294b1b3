"""A latency histogram of constant size: logarithmic buckets 1 % wide, from one microsecond to an hour.

Latency is counted from the instant a report was *meant* to be sent, so that a sender that stalls cannot hide the
waiting of those behind it (coordinated omission).
"""

from __future__ import annotations

from math import log

STEP = 1.01
FLOOR_S = 1e-6
BUCKETS = int(log(3600 / FLOOR_S) / log(STEP)) + 1
_SCALE = 1 / log(STEP)


class Histogram:
    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.count = 0
        self.max_s = 0.0

    def record(self, seconds: float) -> None:
        bucket = int(log(seconds / FLOOR_S) * _SCALE) if seconds > FLOOR_S else 0
        self._counts[min(bucket, BUCKETS - 1)] += 1
        self.count += 1
        self.max_s = max(self.max_s, seconds)

    def percentile(self, percent: float) -> float | None:
        """Upper edge, in seconds, of the bucket that holds it, at most the largest value; None when empty."""
        if not self.count:
            return None
        rank = max(1, -(-self.count * percent // 100))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return min(FLOOR_S * STEP ** (bucket + 1), self.max_s)
        return self.max_s

    def summary_ms(self) -> dict[str, float | None]:
        """The percentiles of the project's tables, in milliseconds."""
        points = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}
        values = {name: self.percentile(percent) for name, percent in points.items()}
        values["max"] = self.max_s if self.count else None
        return {name: None if value is None else round(value * 1000, 3) for name, value in values.items()}
