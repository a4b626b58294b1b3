"""Does the simulated city resemble real homes? Prints a table and draws build/city-reality.png.

    python -m tests.bench.city_reality --leakbench DIRECTORY

DIRECTORY has `data/daiad/*.csv.gz`: hourly indices of real homes of Alicante (DAIAD project, CC-BY-SA 4.0). Nothing of
them is kept. Weeks of both are judged alike: nine readings in ten, none that falls or leaps, no flow for 72 hours on
end (a leak that nobody put in); homes with four such weeks that use at least 20 litres a day.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from simulators.water.block import block, hourly_ml
from simulators.water.calendar import EPOCH_S, WEEK_S
from simulators.water.users import BLOCK, UserKind
from tests.bench.curves import figure

Floats = NDArray[np.float64]

FIRST_DAY = datetime(2015, 1, 5)  # noqa: DTZ001 - the meters' own local time; a Monday
WEEK_H, ML_PER_L = 168, 1_000
COVERED, LEAPS_L, LEAK_H, LEAST_WEEKS, LEAST_L_A_DAY = 0.9, 3_000, 72, 4, 20
SHARES = (10, 25, 50, 75, 90)


class Homes(NamedTuple):
    """`weeks`: by home its litres by week and hour, NaN where nobody knows."""

    name: str
    weeks: list[Floats]


def real_homes(leakbench: Path) -> Homes:
    indices: dict[str, dict[int, float]] = {}
    for path in sorted((leakbench / "data" / "daiad").glob("*.csv.gz")):
        with gzip.open(path, "rt") as file:
            rows = csv.reader(file, delimiter=";")
            next(rows)
            for home, instant, index, _ in rows:
                at = datetime.strptime(instant, "%d/%m/%Y %H:%M:%S")  # noqa: DTZ007 - as FIRST_DAY
                indices.setdefault(home, {})[int((at - FIRST_DAY).total_seconds() // 3_600)] = float(index)
    return Homes("real homes", [_weeks(readings) for readings in indices.values()])


def _weeks(readings: dict[int, float]) -> Floats:
    first = min(readings) // WEEK_H * WEEK_H
    index = np.full((max(readings) - first) // WEEK_H * WEEK_H + WEEK_H + 1, np.nan)
    for hour, value in readings.items():
        index[hour - first] = value
    return np.diff(index).reshape(-1, WEEK_H)


def simulated_homes(seed: int, blocks: int, first_week: int, weeks: int) -> Homes:
    found: list[Floats] = []
    for number in range(blocks):
        index_l = hourly_ml(seed, number, EPOCH_S + first_week * WEEK_S, weeks * WEEK_H) // ML_PER_L
        flow = np.diff(index_l, axis=1).reshape(BLOCK, weeks, WEEK_H).astype(float)
        found += list(flow[block(seed, number).users.kind == UserKind.HOME])
    return Homes("simulated homes", found)


def longest_flow_h(week: Floats) -> int:
    """Hours on end with flow, or without a reading."""
    rests = np.flatnonzero(np.concatenate([[True], week == 0, [True]]))
    return int(np.diff(rests).max()) - 1


def usable(weeks: Floats) -> Floats:
    known = np.isfinite(weeks)
    flow = np.where(known, weeks, 0)
    good = (known.mean(1) >= COVERED) & (flow.min(1, initial=0) >= 0) & (flow.max(1, initial=0) < LEAPS_L)
    good &= np.array([longest_flow_h(week) < LEAK_H for week in weeks], bool)
    return weeks[good]


class Figures(NamedTuple):
    """By home."""

    daily_l: Floats
    zero_share: Floats
    still_days: Floats
    night_l_h: Floats
    day_spread: Floats
    week_spread: Floats
    longest_h: Floats
    day_long_weeks: Floats
    hour_l: Floats
    """Quantiles of the hours with flow."""
    workday: Floats
    weekend: Floats
    zero_by_hour: Floats
    days_l: Floats
    """Of all homes: litres of their days."""


def figures(homes: Homes) -> Figures:
    rows, days_l = [], []
    for weeks in homes.weeks:
        kept = usable(weeks)
        if len(kept) < LEAST_WEEKS or (daily := 24 * float(np.nanmean(kept))) < LEAST_L_A_DAY:
            continue
        rows.append(_of_home(kept, daily))
        whole = kept.reshape(-1, 24)
        days_l.append(whole[np.isfinite(whole).all(1)].sum(1))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Figures(*columns, days_l=np.concatenate(days_l))


def _of_home(weeks: Floats, daily: float) -> tuple[Any, ...]:
    days = weeks.reshape(-1, 24)
    whole = days[np.isfinite(days).all(1)].sum(1)
    used, by_week = whole[whole > 0], 7 * 24 * np.nanmean(weeks, 1)
    longest = [longest_flow_h(week) for week in weeks]
    zero = np.where(np.isfinite(days), days == 0, np.nan)
    mean_h = daily / 24
    return (
        daily, float(np.nanmean(zero)), float((whole == 0).mean()), float(np.nanmean(days[:, 2:5])),
        float(used.std() / used.mean()), float(by_week.std() / by_week.mean()), float(np.mean(longest)),
        float(np.mean(np.array(longest) >= 24)), np.nanpercentile(days[days > 0], [10, 25, 50, 75, 90, 99]),
        np.nanmean(weeks[:, :120].reshape(-1, 24), 0) / mean_h, np.nanmean(weeks[:, 120:].reshape(-1, 24), 0) / mean_h,
        np.nanmean(zero, 0),
    )  # fmt: skip


SCALARS = (
    ("litres a day", "daily_l", 0), ("share of hours without flow", "zero_share", 2),
    ("share of days without flow", "still_days", 2), ("02-05 h, L/h", "night_l_h", 2),
    ("spread of a home's days", "day_spread", 2), ("spread of a home's weeks", "week_spread", 2),
    ("longest flow of a week, h", "longest_h", 1), ("share of weeks with 24 h of flow", "day_long_weeks", 2),
)  # fmt: skip


def table(of: Sequence[tuple[str, Figures]]) -> Table:
    shown = Table("figure", "of", *(f"p{share}" for share in SHARES), "mean", title="between homes")
    for title, field, decimals in SCALARS:
        for name, found in of:
            values = getattr(found, field)
            quantiles = [f"{value:.{decimals}f}" for value in np.percentile(values, SHARES)]
            shown.add_row(title, name, *quantiles, f"{values.mean():.{decimals}f}")
    return shown


def by_hour(of: Sequence[tuple[str, Figures]]) -> Table:
    shown = Table("hour", title="share of a mean hour's litres (workday, weekend) and of hours without flow")
    for name, _ in of:
        for what in ("workday", "weekend", "no flow"):
            shown.add_column(f"{name.split()[0]} {what}")
    for hour in range(24):
        cells = [
            f"{getattr(found, field).mean(0)[hour]:.2f}"
            for _, found in of
            for field in ("workday", "weekend", "zero_by_hour")
        ]
        shown.add_row(str(hour), *cells)
    return shown


def draw(of: Sequence[tuple[str, Figures]]) -> None:
    with figure("city-reality", "simulated and real homes", rows=4) as axes:
        for axis in axes[1:]:
            axis.sharex(axes[0])
        for name, found in of:
            axes[0].plot(found.workday.mean(0), label=f"{name}, working days: flow, mean hour = 1")
            axes[1].plot(found.weekend.mean(0), label=f"{name}, weekends: flow, mean hour = 1")
            axes[2].plot(found.zero_by_hour.mean(0), label=f"{name}: share of hours without flow")
            days, _ = np.histogram(found.days_l, np.arange(0, 1_225, 50))
            axes[3].plot(days / days.sum(), label=f"{name}: share of days by litres, x 50")


@click.command()
@click.option("--leakbench", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--blocks", type=click.IntRange(1), default=4, show_default=True, help=f"Of {BLOCK} users each.")
@click.option("--weeks", type=click.IntRange(LEAST_WEEKS), default=52, show_default=True)
def main(leakbench: Path, seed: int, blocks: int, weeks: int) -> None:
    """Compare the habits of simulated homes with those of real ones."""
    of = [(homes.name, figures(homes)) for homes in (real_homes(leakbench), simulated_homes(seed, blocks, 53, weeks))]
    console = Console(width=110)
    console.print(*(f"{name}: {len(found.daily_l)} homes" for name, found in of), sep="; ")
    console.print(table(of), by_hour(of))
    hours = Table("litres of an hour with flow, median of homes", "p10", "p25", "p50", "p75", "p90", "p99")
    for name, found in of:
        hours.add_row(name, *(f"{value:.1f}" for value in np.median(found.hour_l, 0)))
    console.print(hours)
    draw(of)


if __name__ == "__main__":
    main()
