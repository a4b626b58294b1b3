"""The rate of reports over the last minutes, sampled once for all open pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.live import LiveFigures
from metering.errors import UnavailableError

SAMPLE_S = 5.0
MAX_SAMPLES = 180


class RateSample(NamedTuple):
    at: datetime
    reports_per_s: float


class RateHistory:
    """The last `MAX_SAMPLES` rates, oldest first. A time in which the database was away leaves a gap."""

    def __init__(self, figures: LiveFigures, now: Callable[[], datetime]) -> None:
        self._figures, self._now = figures, now
        self._samples: deque[RateSample] = deque(maxlen=MAX_SAMPLES)

    def samples(self) -> list[RateSample]:
        return list(self._samples)

    async def run(self) -> None:
        """Samples until cancelled."""
        while True:
            try:
                rate = await self._figures.reports_per_s()
                if rate is not None:
                    self._samples.append(RateSample(self._now(), rate))
            except UnavailableError:
                pass  # the pages say so themselves
            await asyncio.sleep(SAMPLE_S)
