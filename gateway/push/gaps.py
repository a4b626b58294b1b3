"""Notices that a platform stopped pushing while pushes were to be expected. Pure; times are Unix seconds.

A platform whose pushes failed pauses, and does not push later what came in meanwhile (PROTOCOLS C): the only trace is
that expected pushes are missing. How many are expected is learned per hour of the day, since meters report in waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

HOURS = 24
HOUR_S = 3600
MISSED_MIN = 20.0
"""So many pushes must be missing: of 20 expected at random none comes once in 500 million times."""

SILENCE_MIN_S = 45.0
"""A platform's cool-down lasts a minute."""

WEIGHT = 0.3
"""Of the newest day in an hour's rate: what changed is learned within a week."""


class Gap(NamedTuple):
    """Nothing was pushed between `since_s` and `until_s`; about so many pushes are `missing`."""

    since_s: int
    until_s: int
    missing: int


class PushRate:
    """The pushes of one product."""

    def __init__(self, rates: Sequence[float] | None = None, last_s: float = 0.0) -> None:
        """`rates`: pushes a second in each hour of the day, as learned; `last_s`: when the last one came."""
        self.rates = list(rates) if rates and len(rates) == HOURS else [0.0] * HOURS
        self.last_s = last_s
        self._hour: int | None = None
        self._count = 0
        self._observed_from_s = 0.0

    def pushed(self, now_s: float) -> Gap | None:
        """One came. The gap that it ends, if there was one."""
        gap = None
        if self.silent(now_s):
            gap = Gap(int(self.last_s), int(now_s), round(self.expected(self.last_s, now_s)))
        self.advance(now_s, learn=gap is None)
        self._count += 1
        self.last_s = max(self.last_s, now_s)
        return gap

    def advance(self, now_s: float, learn: bool = True) -> None:
        """Time goes on. `learn`: the hour that is over was an ordinary one."""
        hour = int(now_s // HOUR_S)
        if self._hour is None:
            self._hour, self._observed_from_s = hour, now_s
        elif hour != self._hour:
            if learn and not self.silent(now_s):
                self._learn(min(float(HOUR_S), (self._hour + 1) * HOUR_S - self._observed_from_s))
            self._hour, self._count, self._observed_from_s = hour, 0, float(hour * HOUR_S)

    def _learn(self, observed_s: float) -> None:
        """From the hour that is over; a few minutes of one say too little."""
        if observed_s < HOUR_S / 4 or self._hour is None:
            return
        slot, rate = self._hour % HOURS, self._count / observed_s
        known = self.rates[slot]
        self.rates[slot] = rate if known == 0.0 else (1 - WEIGHT) * known + WEIGHT * rate

    def expected(self, since_s: float, until_s: float) -> float:
        """Pushes to be expected between two instants, at most two days apart."""
        since_s = max(since_s, until_s - 2 * HOURS * HOUR_S)
        total, at = 0.0, since_s
        while at < until_s:
            end = min(until_s, (at // HOUR_S + 1) * HOUR_S)
            total += self.rates[int(at // HOUR_S) % HOURS] * (end - at)
            at = end
        return total

    def silent(self, now_s: float) -> bool:
        """Whether pushes are missing now."""
        if not self.last_s or now_s - self.last_s < SILENCE_MIN_S:
            return False
        return self.expected(self.last_s, now_s) >= MISSED_MIN

    def kept(self) -> dict[str, Any]:
        """What outlives the process."""
        return {"rates": [round(rate, 6) for rate in self.rates], "last_s": int(self.last_s)}

    @classmethod
    def of(cls, kept: Any) -> PushRate:
        """From `kept`; a new one from anything else."""
        try:
            return cls([float(rate) for rate in kept["rates"]], float(kept["last_s"]))
        except (KeyError, TypeError, ValueError):
            return cls()
