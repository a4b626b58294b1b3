"""Local time of the towns and recordings that are played: China's, which has had no summer time since 1991."""

from __future__ import annotations

from datetime import UTC, datetime

HOUR_S = 3_600
DAY_S = 86_400
UTC_OFFSET_S = 8 * HOUR_S


def local_text(ts_s: int) -> str:
    """`2026-01-31 23:00:00`, without an offset."""
    return f"{datetime.fromtimestamp(ts_s + UTC_OFFSET_S, UTC):%Y-%m-%d %H:%M:%S}"
