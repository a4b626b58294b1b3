"""How long to wait before a child that died is started again; never gives up."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
HEALTHY_LIFE_S = 60.0
LOOP_DEATHS = 3


@dataclass(slots=True)
class Backoff:
    """Doubles the delay with each death in a row; a life of `HEALTHY_LIFE_S` ends the row."""

    deaths: int = 0

    def died(self, lived_s: float) -> float:
        """Seconds to wait before the next start."""
        self.deaths = 1 if lived_s >= HEALTHY_LIFE_S else self.deaths + 1
        return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.deaths - 1, 16))

    @property
    def is_loop(self) -> bool:
        """It fails so often in a row that a person should look."""
        return self.deaths >= LOOP_DEATHS
