"""Figures that many viewers watch at once: computed once in a while, shared by all."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from api.database import ReadPool
from api.queries.overview import Overview, get_overview, received_total

OVERVIEW_S = 5.0
RATE_SAMPLE_S = 1.0
RATE_WINDOW_S = 15.0
MAX_SAMPLES = 32


class ReportRate:
    """Reports a second over the last `RATE_WINDOW_S`, from samples of a total that only grows."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=MAX_SAMPLES)

    def observe(self, now_s: float, total: int) -> None:
        """A total that shrank (local midnight drops a day) starts a new series, and so does a long pause."""
        if self._samples and (total < self._samples[-1][1] or now_s - self._samples[-1][0] > RATE_WINDOW_S):
            self._samples.clear()
        self._samples.append((now_s, total))
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= RATE_WINDOW_S:
            self._samples.popleft()

    def per_second(self) -> float | None:
        """None until there are two samples."""
        if len(self._samples) < 2:
            return None
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else None

    @property
    def last_sample_s(self) -> float | None:
        return self._samples[-1][0] if self._samples else None


class LiveFigures:
    """Errors of the database pass through (UnavailableError); the next call tries again."""

    def __init__(
        self, pool: ReadPool, *, zone: ZoneInfo, silence_after: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._pool, self._zone, self._silence_after, self._now = pool, zone, silence_after, now
        self._rate = ReportRate()
        self._overview: Overview | None = None
        self._overview_at = 0.0
        self._lock = asyncio.Lock()

    async def overview(self) -> Overview:
        """At most `OVERVIEW_S` old."""
        async with self._lock:
            if self._overview is None or time.monotonic() - self._overview_at > OVERVIEW_S:
                self._overview = await get_overview(
                    self._pool, now=self._now(), silence_after=self._silence_after, zone=self._zone
                )
                self._overview_at = time.monotonic()
            return self._overview

    async def reports_per_s(self) -> float | None:
        """The live rate of reports taken into the database; None until it is known."""
        async with self._lock:
            last = self._rate.last_sample_s
            if last is None or time.monotonic() - last >= RATE_SAMPLE_S:
                today = self._now().astimezone(self._zone).date()
                total = await received_total(self._pool, today)
                self._rate.observe(time.monotonic(), total)
            return self._rate.per_second()
