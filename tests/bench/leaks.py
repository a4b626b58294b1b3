"""Leak detection against known faults: `make bench-leaks LEAKS='--leakbench DIR'`.

Builds leakbench's data sets (its half 0, several seeds) with its own program, lets `nbwater leaks evaluate` write
alerts without seeing the truth, and has its scorer judge them; the same for simulated cities and what their simulator
put in. Writes build/bench-leaks.json and build/bench-leaks.md: the figures, and what was raised of what kind put in.
The data are not this repository's, and no test needs them. `--python`: an interpreter that has pandas, which leakbench
needs. A folder that is there already is not built again.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.registry.meter_rows import Q3_L_H

BUILD = Path("build")
METERS, DAYS = 300, 120
SEEDS = (101, 102, 103)
CITIES = (1,)
TARGETS = {
    "f1": "≥ .88", "fa_per_1000_meter_month": "≤ 10", "ttd_median_h": "≤ 24", "ttd_p90_h": "≤ 72",
    "rate_err_median": "≤ .10",
}  # fmt: skip
LEAKS = {"drip", "toilet", "toilet_cyclic", "pipe", "growing", "burst"}
SCORE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import leakbench, pandas
leakbench.LEAK.add("continuous")
leakbench.OK_KIND["continuous"] = leakbench.OK_KIND["toilet"]
leakbench.score(json.load(open(sys.argv[2])), pandas.read_csv(sys.argv[3]))
"""
"""leakbench's scorer, which does not know a city's `continuous`: judged as a toilet that leaks."""
KINDS = {"toilet_cyclic": "≥ .60", "under": "≥ .50", "stuck": "≥ .90"}
ALERTS = ("LEAK", "BURST", "REVERSE", "STUCK", "UNDER", "NOREPORT")
NOTHING, NO_FAULT = "nothing", "outside of all"
FIRST_D = 14
"""Before this the scorer counts nothing as false."""


def main() -> int:
    options = arguments()
    found = {str(seed): measured(options, built(options, seed)) for seed in options.seeds}
    found |= {f"city {seed}": measured(options, simulated(options, seed)) for seed in options.cities}
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench-leaks.json").write_text(json.dumps(found, indent=2) + "\n")
    tables = "\n".join([table(found), confusions([found[str(seed)]["confusion"] for seed in options.seeds]),
                         confusions([found[f"city {seed}"]["confusion"] for seed in options.cities])])  # fmt: skip
    (BUILD / "bench-leaks.md").write_text(tables)
    print(tables)
    return 0


def built(options: argparse.Namespace, seed: int) -> Path:
    """The folder of leakbench's data set."""
    folder: Path = options.folder / f"half{options.half}-{seed}"
    if not (folder / "truth.json").exists():
        build = ["build", "--n", str(METERS), "--seed", str(seed), "--half", str(options.half), "--out", str(folder)]
        subprocess.run([options.python, str(options.leakbench / "leakbench.py"), *build], check=True)
    return folder


def simulated(options: argparse.Namespace, seed: int) -> Path:
    """The folder of a city."""
    folder: Path = options.folder / f"city-{seed}"
    if not (folder / "truth.json").exists():
        simulate = ["simulate", "city", "--to", str(folder), "--seed", str(seed)]
        size = ["--meters", str(METERS), "--days", str(DAYS)]
        subprocess.run([sys.executable, "-m", "deploy", *simulate, *size], check=True)
    return folder


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What leakbench's scorer says of a data set, and how long the evaluation took."""
    truth = json.loads((folder / "truth.json").read_text())
    _write_sizes(truth, folder / "sizes.csv")
    inputs = {"readings": "readings.csv", "sizes": "sizes.csv", "inlet": "dma_inlet.csv", "inflow": "bwdf_inflow.csv"}
    there = {name: folder / file for name, file in inputs.items() if (folder / file).exists()}
    files = [word for name, path in there.items() for word in (f"--{name}", str(path))]
    began = time.monotonic()
    evaluate = [sys.executable, "-m", "deploy", "leaks", "evaluate", *files, "--out", str(folder / "alerts.csv")]
    subprocess.run(evaluate, check=True)
    took_s = time.monotonic() - began
    score = [str(options.leakbench), str(folder / "truth.json"), str(folder / "alerts.csv")]
    said = subprocess.run([options.python, "-c", SCORE, *score], check=True, capture_output=True, text=True).stdout
    months = truth["n"] * truth["days"] / 30.4
    found: dict[str, Any] = json.loads(said)
    found["other_false_per_1000_meter_month"] = 1000 * found["other_false_alerts"] / months
    found["recall_of_faults"] = _recall_of_faults(found)
    with (folder / "alerts.csv").open(newline="") as file:
        found["confusion"] = confusion(truth, list(csv.DictReader(file)))
    return found | {"evaluation_s": took_s}


def _write_sizes(truth: dict[str, Any], path: Path) -> None:
    """Q3 as registered for the nominal diameter, of a city; leakbench's homes have none."""
    sized = [(meter["meter"], Q3_L_H[meter["dn_mm"]]) for meter in truth["meters"] if "dn_mm" in meter]
    if sized:
        lines = [f"{name},{q3 / 1_000:g}" for name, q3 in sized]
        path.write_text("\n".join(["meter_id,q3_m3_h", *lines]) + "\n")


def _recall_of_faults(found: dict[str, Any]) -> float:
    """Recall of leaks and bursts without the cisterns that run on for a day or two."""
    of_kind = [counts for kind, counts in found["recall_by_kind"].items() if kind in LEAKS]
    return sum(share * events for share, events, _ in of_kind) / max(1, sum(events for _, events, _ in of_kind))


def confusion(truth: dict[str, Any], alerts: list[dict[str, str]]) -> dict[str, dict[str, int]]:
    """For each kind put in: events, those in which each kind of alert was raised between the begin and the scorer's
    grace after the end, and those in which none was; and the alerts outside of all events."""
    left = [(alert["subject"], datetime.fromisoformat(alert["raised_at"]), alert["kind"]) for alert in alerts]
    rows: dict[str, Counter[str]] = {}
    inside = set()
    for event in truth["events"]:
        grace = timedelta(days=1 if event["kind"] in LEAKS else 3)
        begin, end = (datetime.fromisoformat(event[name]) for name in ("start", "end"))
        during = [alert for alert in left if alert[0] == event["meter"] and begin <= alert[1] <= end + grace]
        inside.update(during)
        rows.setdefault(event["kind"], Counter()).update(["events", *({kind for *_, kind in during} or {NOTHING})])
    first = datetime.fromisoformat(truth["start"]) + timedelta(days=FIRST_D)
    rows[NO_FAULT] = Counter(alert[2] for alert in left if alert not in inside and alert[1] >= first)
    return {kind: dict(counts) for kind, counts in rows.items()}


def confusions(several: list[dict[str, dict[str, int]]]) -> str:
    """Markdown: their sum, a row for each kind put in, a column for each kind of alert."""
    summed: dict[str, Counter[str]] = {}
    for each in several:
        for kind, counts in each.items():
            summed.setdefault(kind, Counter()).update(counts)
    columns = ("events", *ALERTS, NOTHING)
    lines = [f"| put in | {' | '.join(columns)} |", f"| --- | {' | '.join('---:' for _ in columns)} |"]
    ordered = sorted(summed, key=lambda kind: (kind == NO_FAULT, kind.startswith("c_"), kind))
    lines += [f"| {kind} | {' | '.join(str(summed[kind][column] or '') for column in columns)} |" for kind in ordered]
    return "\n".join(lines) + "\n"


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row for each figure, a column for each seed."""
    lines = [f"| figure | target | {' | '.join(found)} |", f"| --- | --- | {' | '.join('---:' for _ in found)} |"]

    def row(name: str, target: str, values: list[Any]) -> None:
        shown = ["-" if value is None else f"{value:.2f}" for value in values]
        lines.append(f"| {name} | {target} | {' | '.join(shown)} |")

    results = list(found.values())
    for key in (
        "precision",
        "recall",
        "recall_of_faults",
        *TARGETS,
        "other_false_per_1000_meter_month",
        "evaluation_s",
    ):
        row(key, TARGETS.get(key, ""), [result.get(key) for result in results])
    for kind in sorted({kind for result in results for kind in result["recall_by_kind"]}):
        shares = [result["recall_by_kind"].get(kind, [None])[0] for result in results]
        row(f"found: {kind}", KINDS.get(kind, ""), shares)
    for key in ("recall", "virtual_dma_recall", "ttd_median_h", "start_err_median_h", "false_incidents", "false_v1"):
        row(f"districts: {key}", "", [result["dma"].get(key) for result in results])
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-leaks", description=__doc__)
    parser.add_argument("--leakbench", type=Path, required=True, help="the directory of leakbench.py and its data")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with pandas")
    parser.add_argument("--folder", type=Path, default=BUILD / "leakbench", help="where data sets are built")
    parser.add_argument("--half", type=int, default=0, choices=(0, 1))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--cities", type=int, nargs="*", default=CITIES, help="seeds of simulated cities")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
