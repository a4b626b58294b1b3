"""Homes with habits, as flows of each hour in litres and as a file of readings."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIRST = datetime.fromisoformat("2025-01-06")  # a Monday
DAYS = 70
HOURS = DAYS * 24


def flows(homes: int, seed: int = 7) -> NDArray[np.float64]:
    """Whole litres, (home, hour): asleep from 0 to 6, more in the morning and in the evening."""
    rng = np.random.default_rng(seed)
    hour = np.arange(HOURS) % 24
    busy = np.where(hour < 6, 0.03, np.where((hour < 9) | (hour >= 18), 0.75, 0.35))
    used = rng.random((homes, HOURS)) < busy
    return np.where(used, np.ceil(rng.gamma(1.5, 12.0, (homes, HOURS))), 0.0)


def write(path: Path, flow_l: NDArray[np.float64], lost: float = 0.0, seed: int = 1) -> None:
    """Index at each full hour; a share `lost` of the readings is missing. Homes are called M0, M1, …"""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["meter_id", "ts", "index_l"])
        for home, flow in enumerate(flow_l):
            index = 5_000 + np.concatenate(([0.0], np.cumsum(flow)))
            for number, value in enumerate(index):
                if rng.random() >= lost:
                    writer.writerow([f"M{home}", FIRST + timedelta(hours=number), int(value)])
