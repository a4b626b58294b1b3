"""`nbwater leaks evaluate` from the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from deploy.commands.leaks import leaks
from tests.ingest.leaks import homes

BEGIN = 45 * 24


def run(*arguments: str | Path):
    return CliRunner().invoke(leaks, ["evaluate", *map(str, arguments)])


def test_meters_and_districts_in_one_file(tmp_path: Path) -> None:
    flow = homes.flows(30)
    flow[0, BEGIN:] += 8
    homes.write(tmp_path / "readings.csv", flow)
    main = np.full(homes.HOURS, 60.0)
    main[BEGIN:] += 200
    rng = np.random.default_rng(3)
    through = (flow.sum(axis=0) + main) * rng.normal(1, 0.01, homes.HOURS)
    hours = [homes.FIRST + homes.timedelta(hours=n) for n in range(homes.HOURS + 1)]
    index_m3 = 1e4 + np.concatenate(([0], np.cumsum(through))) / 1e3
    (tmp_path / "inlet.csv").write_text(
        "ts,inlet_index_m3\n" + "".join(f"{at},{m3:.2f}\n" for at, m3 in zip(hours, index_m3, strict=True))
    )
    (tmp_path / "inflow.csv").write_text(
        "ts,A\n" + "".join(f"{at},{litres / 3600:.4f}\n" for at, litres in zip(hours, through, strict=False))
    )
    out = tmp_path / "alerts.csv"
    done = run("--readings", tmp_path / "readings.csv", "--inlet", tmp_path / "inlet.csv", "--district", "D9",
               "--inflow", tmp_path / "inflow.csv", "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    with out.open() as file:
        found = {(row["subject"], row["kind"]) for row in csv.DictReader(file)}
    assert {("M0", "LEAK"), ("D9", "DMA_LEAK"), ("A", "DMA_LEAK")} <= found


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "inlet.csv").write_text("ts,inlet_index_m3\n")
    assert "give --readings, --inflow or both" in run("--out", tmp_path / "out").output
    assert "--inlet needs the customers' --readings" in run(
        "--inflow", tmp_path / "inlet.csv", "--inlet", tmp_path / "inlet.csv", "--out", tmp_path / "out"
    ).output  # fmt: skip
    done = run("--inflow", tmp_path / "inlet.csv", "--out", tmp_path / "out")
    assert (done.exit_code, "inlet.csv" in done.output) == (1, True)
