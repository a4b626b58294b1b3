"""The curves of the benchmark as PNG files in build/."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from tests.bench.under_load import Played

BUILD = Path("build")
WIDTH_IN, HEIGHT_IN, DPI = 9.0, 4.5, 110

mpl.use("agg")  # no window: the benchmark runs unattended


@contextmanager
def figure(name: str, title: str, rows: int = 1) -> Iterator[Any]:
    """Axes to draw on, one above the other; written to build/NAME.png with the end of the block."""
    drawn, axes = plt.subplots(rows, 1, figsize=(WIDTH_IN, HEIGHT_IN * (1 + 0.6 * (rows - 1))), sharex=rows > 1)
    try:
        yield axes
        for axis in np.atleast_1d(axes):
            axis.grid(True, alpha=0.3)
            if axis.get_legend_handles_labels()[1]:
                axis.legend(loc="best", fontsize=9)
        np.atleast_1d(axes)[0].set_title(title)
        drawn.tight_layout()
        BUILD.mkdir(exist_ok=True)
        drawn.savefig(BUILD / f"{name}.png", dpi=DPI)
    finally:
        plt.close(drawn)


def sustained(played: Played, name: str) -> None:
    """Rates of answering and storing, and both backlogs, over time."""
    began = played.result["began"]
    at_s = np.array([sample.at_s for sample in played.samples])
    answered = np.array([played.answered_at(at) for at in at_s])
    taken = np.array([sample.taken - played.taken_before for sample in played.samples], float)
    title = f"End to end at {played.order.rate:,.0f} reports/s, {played.order.readings} readings each"
    with figure(name, title, rows=2) as (rates, backlogs):
        middle = (at_s[1:] + at_s[:-1]) / 2 - began
        rates.plot(middle, np.diff(answered) / np.diff(at_s), label="answered")
        rates.plot(middle, np.diff(taken) / np.diff(at_s), label="stored by ingest", alpha=0.7)
        rates.set_ylabel("reports per second")
        rates.set_ylim(bottom=0)
        backlogs.plot(at_s - began, [played.backlog(sample) for sample in played.samples], label="stream, reports")
        backlogs.plot(at_s - began, [sample.spans for sample in played.samples], label="touched spans")
        backlogs.set_ylabel("waiting")
        backlogs.set_xlabel("seconds")
        backlogs.set_ylim(bottom=0)


def latency(latencies_s: dict[str, Sequence[float]], name: str, title: str) -> None:
    """The share of reports that were not yet answered after so many milliseconds, both axes logarithmic."""
    with figure(name, title) as axis:
        for label, values in latencies_s.items():
            sorted_ms = np.sort(np.asarray(values, float)) * 1000
            share = 1 - np.arange(len(sorted_ms)) / max(1, len(sorted_ms))
            axis.plot(sorted_ms, share * 100, label=label, drawstyle="steps-post")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("milliseconds from the instant a report was due to its answer")
        axis.set_ylabel("per cent of reports that took longer")


def over_time(series: dict[str, tuple[Sequence[float], Sequence[float]]], name: str, title: str, unit: str) -> None:
    """Lines over seconds."""
    with figure(name, title) as axis:
        for label, (seconds, values) in series.items():
            axis.plot(seconds, values, label=label)
        axis.set_xlabel("seconds")
        axis.set_ylabel(unit)
        axis.set_ylim(bottom=0)


def growth(figures: dict[str, Any]) -> None:
    """Write rate against stored readings, a line for each server that was measured."""
    with figure("bench-growth", "Rate of the ingest writer as the history grows") as axis:
        for label, found in figures.items():
            if "curve" in found:
                points = found["curve"]
                stored = [point["stored_rows"] / 1e6 for point in points]
                axis.plot(stored, [point["rows_per_s"] for point in points], marker="o", label=label)
        axis.set_xlabel("million readings stored")
        axis.set_ylabel("readings written per second")
        axis.set_ylim(bottom=0)
