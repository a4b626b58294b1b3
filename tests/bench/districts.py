"""District detection on files of leakbench's form: `python -m tests.bench.districts FOLDER … [--alerts OUT.csv]`.

Each folder holds readings.csv, dma_inlet.csv, bwdf_inflow.csv and, for the score, truth.json. Runs the production
detector on the first three; truth.json is opened afterwards. No such data lies in this repository.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ingest.alert_file import EvaluatedAlert
from ingest.districts.detection import balance_rules, inflow_rules
from ingest.districts.evaluation import Indices, customers_limits, from_inflows, from_readings
from ingest.districts.files import read_inflows, read_inlet
from ingest.leaks.evaluation import read_readings
from metering.consumption import HOUR_S
from metering.settings import DistrictSettings, load

VIRTUAL = "DMA-V1"
AFTER = timedelta(days=1)
"""An alert up to so long after the end of a leak still counts for it, as leakbench has it."""
WEEK_S = 7 * 86_400
MONTH_H = 730


class Outcome(NamedTuple):
    """One leak that was put in."""

    district: str
    group: str
    hours_to_find: float | None
    start_error_h: float | None


def customers_of(path: Path) -> Indices:
    """Household meters of the usual size."""
    found = read_readings(path)
    return Indices(*found[1:], customers_limits(found.names, {}))


def outcomes(events: Iterable[dict[str, Any]], alerts: Sequence[EvaluatedAlert]) -> tuple[list[Outcome], Counter[str]]:
    """How each leak was found, and in how many weeks of each district alerts were false."""
    found, used = [], set()
    for event in events:
        start, end = datetime.fromisoformat(event["start"]), datetime.fromisoformat(event["end"])
        of = [a for a in alerts if a.subject == event["dma"] and start <= a.raised_at <= end + AFTER]
        used |= set(map(id, of))
        first = min(of, key=lambda alert: alert.raised_at, default=None)
        found.append(
            Outcome(
                event["dma"],
                group_of(event),
                None if first is None else (first.raised_at - start).total_seconds() / HOUR_S,
                None if first is None or first.est_start is None
                else abs((first.est_start - start).total_seconds()) / HOUR_S,
            )
        )  # fmt: skip
    false = {(a.subject, int(a.raised_at.timestamp()) // WEEK_S) for a in alerts if id(a) not in used}
    return found, Counter(subject for subject, _ in false)


def group_of(event: dict[str, Any]) -> str:
    if "frac_mean" in event:
        return f"virtual {event['type']} {event['frac_mean']:.0%} of the mean"
    share = event["frac_mnf"]
    if share > 0.2:
        return f"inflow > 20 %, {event['type']}"
    return "inflow 10-20 %" if share > 0.1 else "inflow < 10 %"


def median(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else float("nan")


def report(title: str, found: Sequence[Outcome], false: Counter[str], months: float) -> None:
    """`months`: of all districts together."""
    weeks = false.total()
    print(f"{title}: {weeks / months:.2f} false a district and month ({weeks} in {months:.0f})")
    for group in sorted({outcome.group for outcome in found}):
        of = [outcome for outcome in found if outcome.group == group]
        hits = [outcome for outcome in of if outcome.hours_to_find is not None]
        within = sum(outcome.hours_to_find <= 12 for outcome in hits if outcome.hours_to_find is not None)
        print(
            f"  {group:32s} {len(hits)} of {len(of)} ({len(hits) / len(of):.2f}), {within} within 12 h; median "
            f"{median(o.hours_to_find for o in hits):.0f} h, start off by {median(o.start_error_h for o in hits):.0f} h"
        )
    print(f"  all: median {median(outcome.hours_to_find for outcome in found):.0f} h")
    districts = sorted({outcome.district for outcome in found})
    for district in districts if len(districts) > 1 else ():
        shares = []
        for size in ("> 20 %", "10-20 %", "< 10 %"):
            of = [one for one in found if one.district == district and size in one.group]
            shares.append(f"{size} {sum(one.hours_to_find is not None for one in of)} of {len(of)}")
        print(f"  {district}: {', '.join(shares)}; false {false[district] * len(districts) / months:.2f} a month")


def write(path: Path, alerts: Iterable[EvaluatedAlert]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(EvaluatedAlert._fields)
        writer.writerows(alerts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--alerts", type=Path, help="write the alerts of the last folder")
    options, settings = parser.parse_args(), load(DistrictSettings)
    virtual: list[Outcome] = []
    real: list[Outcome] = []
    false, months = [Counter[str](), Counter[str]()], [0.0, 0.0]
    for folder in options.folders:
        inlet, inflows = read_inlet(folder / "dma_inlet.csv"), read_inflows(folder / "bwdf_inflow.csv")
        alerts = from_readings(VIRTUAL, customers_of(folder / "readings.csv"), inlet, balance_rules(settings))
        by_night = from_inflows(inflows, inflow_rules(settings))
        if options.alerts:
            write(options.alerts, [*alerts, *by_night])
        events = json.loads((folder / "truth.json").read_text())["dma_events"]
        for at, (of, found) in enumerate(((alerts, virtual), (by_night, real))):
            new, wrong = outcomes([event for event in events if (event["dma"] == VIRTUAL) == (at == 0)], of)
            found += new
            false[at] += wrong
        months[0] += len(inlet.ts_s) / MONTH_H
        months[1] += inflows.flow_l_s.size / MONTH_H
    report("virtual district, by balance", virtual, false[0], months[0])
    report("real districts, by inflow alone", real, false[1], months[1])


if __name__ == "__main__":
    main()
