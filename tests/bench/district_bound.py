"""How early a growing leak can be told by balance at all: `python -m tests.bench.district_bound FOLDER …`.

Of the virtual district in files of leakbench's form. The balance is taken as the detector sees it and as it is known
two days later; the leaks that were put in are taken out (from truth.json), each hour loses the median of its hour of
day, and the rest is weighed for a leak that grows evenly from a start that is told: where noise is normal no test of
the same hours does better. Its greatest values without any leak are what a threshold must lie above.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ingest.districts import balance
from ingest.districts.files import read_inlet
from ingest.districts.known_hours import known_hours
from ingest.districts.level_shifts import DAY_H, Floats
from metering.consumption import HOUR_S
from tests.bench.districts import VIRTUAL, customers_of

GROWS_H = 120
SHARE = 0.30
"""Of the mean inflow, reached after GROWS_H."""
WARM_H = 30 * DAY_H
MONTH_H = 730


def without_leaks(folder: Path, lag_h: int) -> tuple[Floats, Floats]:
    """Unaccounted flow of each hour less its habit, and its standard uncertainty, as shares of the mean inflow, as
    known `lag_h` hours after the hour's end."""
    inlet, customers = read_inlet(folder / "dma_inlet.csv"), customers_of(folder / "readings.csv")
    first_s = -(-int(inlet.ts_s.min()) // HOUR_S) * HOUR_S
    hours = int(inlet.ts_s.max() - first_s) // HOUR_S
    inflow = known_hours(*inlet, first_s, hours).volume_ml[0]
    homes = known_hours(*customers, first_s, hours)
    deadline_s = first_s + HOUR_S * (np.arange(hours) + 1 + lag_h)
    volume = np.where(homes.known_s <= deadline_s, homes.volume_ml, np.nan)
    found = balance.balance(
        inflow, np.zeros(hours), balance.Hours(volume, customers.limits.resolution_ml.astype(np.float64))
    )
    rest = found.unaccounted.copy()
    for event in json.loads((folder / "truth.json").read_text())["dma_events"]:
        if event["dma"] == VIRTUAL:
            begin, end = ((_seconds(event[name]) - first_s) // HOUR_S for name in ("start", "end"))
            age = np.arange(end + 1 - begin)
            grown = np.ones(len(age)) if event["type"] == "abrupt" else np.minimum(1.0, age / GROWS_H)
            rest[begin : end + 1] -= event["rate_m3h"] * 1e6 * grown
    hour, mean = np.arange(hours) % DAY_H, float(np.nanmean(inflow))
    usual = np.array([np.nanmedian(rest[hour == of]) for of in range(DAY_H)])
    return (rest - usual[hour]) / mean, found.sigma / mean


def matched(rest: Floats, sigma: Floats, age_h: int) -> tuple[Floats, Floats]:
    """Of each hour after WARM_H: the size that a leak begun `age_h` before seems to have, where 1 is the one looked
    for, and the standard error that the balance's own uncertainty gives it."""
    shape = SHARE * np.arange(1, age_h + 1) / GROWS_H
    weight, product = 1 / sigma**2, rest / sigma**2
    square = np.convolve(weight, shape[::-1] ** 2, "valid")[WARM_H:]
    return np.convolve(product, shape[::-1], "valid")[WARM_H:] / square, 1 / np.sqrt(square)


def ceiling(sizes: Floats, age_h: int, false: float) -> float:
    """The least size above which there are at most so many false alarms; hours closer than `age_h` are one."""
    low, high = 0.0, float(sizes.max())
    for _ in range(40):
        middle = (low + high) / 2
        above = np.flatnonzero(sizes > middle)
        alarms = 0 if not len(above) else 1 + int((np.diff(above) > age_h).sum())
        low, high = (middle, high) if alarms > false else (low, middle)
    return high


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def main() -> None:
    for lag_h, words in ((0, "as it came"), (48, "as known two days later")):
        noise = [without_leaks(Path(folder), lag_h) for folder in sys.argv[1:]]
        print(f"{words}; a leak that reaches {SHARE:.0%} of the inflow in {GROWS_H} h, its start told:")
        for age_h in (6, 12, 18, 24, 36, 48):
            sizes, errors = (np.concatenate(of) for of in zip(*(matched(*of, age_h) for of in noise), strict=True))
            found = [float(np.mean(sizes + 1 > ceiling(sizes, age_h, of * len(sizes) / MONTH_H))) for of in (1, 0.1)]
            spread = 1.4826 * np.median(np.abs(sizes))
            print(
                f"  {age_h} h old: ±{np.median(errors):.2f} by the meters' errors, ±{spread:.2f} in truth, 1 of 100 "
                f"above {np.quantile(sizes, 0.99):.2f}; found {found[0]:.2f} at one false a month, {found[1]:.2f} at .1"
            )


if __name__ == "__main__":
    main()
