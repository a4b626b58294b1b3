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


def hours_of(count: int):
    return [homes.FIRST + homes.timedelta(hours=n) for n in range(count)]


def write_inlet(path: Path, flow_l: np.ndarray) -> np.ndarray:
    """What an inlet meter shows that errs by 1 %; the flow it saw."""
    through = flow_l * np.random.default_rng(3).normal(1, 0.01, len(flow_l))
    index_m3 = 1e4 + np.concatenate(([0], np.cumsum(through))) / 1e3
    rows = zip(hours_of(len(index_m3)), index_m3, strict=True)
    path.write_text("ts,inlet_index_m3\n" + "".join(f"{at},{m3:.2f}\n" for at, m3 in rows))
    return through


def alerts_in(path: Path) -> set[tuple[str, str]]:
    with path.open() as file:
        return {(row["subject"], row["kind"]) for row in csv.DictReader(file)}


def test_meters_and_districts_in_one_file(tmp_path: Path) -> None:
    flow = homes.flows(30)
    flow[0, BEGIN:] += 8
    homes.write(tmp_path / "readings.csv", flow)
    main = np.full(homes.HOURS, 60.0)
    main[BEGIN:] += 200
    through = write_inlet(tmp_path / "inlet.csv", flow.sum(axis=0) + main)
    (tmp_path / "inflow.csv").write_text(
        "ts,A\n"
        + "".join(f"{at},{litres / 3600:.4f}\n" for at, litres in zip(hours_of(len(through)), through, strict=True))
    )
    out = tmp_path / "alerts.csv"
    done = run("--readings", tmp_path / "readings.csv", "--inlet", tmp_path / "inlet.csv", "--district", "D9",
               "--inflow", tmp_path / "inflow.csv", "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {("M0", "LEAK"), ("D9", "DMA_LEAK"), ("A", "DMA_LEAK")} <= alerts_in(out)


def test_a_large_customer_s_draught_is_not_blamed_on_the_main_where_his_size_is_told(tmp_path: Path) -> None:
    flow = homes.flows(30)
    flow[0, BEGIN:] += 12_000
    homes.write(tmp_path / "readings.csv", flow)
    write_inlet(tmp_path / "inlet.csv", flow.sum(axis=0) + 60)
    (tmp_path / "sizes.csv").write_text("meter_id,q3_m3_h\nM0,16\n")
    of_main = []
    for sizes in ([], ["--sizes", tmp_path / "sizes.csv"]):
        done = run("--readings", tmp_path / "readings.csv", *sizes, "--inlet", tmp_path / "inlet.csv",
                   "--out", tmp_path / "out.csv")  # fmt: skip
        assert done.exit_code == 0, done.output
        of_main.append(("DMA-V1", "DMA_LEAK") in alerts_in(tmp_path / "out.csv"))
    assert of_main == [True, False]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "inlet.csv").write_text("ts,inlet_index_m3\n")
    assert "give --readings, --inflow or both" in run("--out", tmp_path / "out").output
    assert "--inlet needs the customers' --readings" in run(
        "--inflow", tmp_path / "inlet.csv", "--inlet", tmp_path / "inlet.csv", "--out", tmp_path / "out"
    ).output  # fmt: skip
    done = run("--inflow", tmp_path / "inlet.csv", "--out", tmp_path / "out")
    assert (done.exit_code, "inlet.csv" in done.output) == (1, True)


def test_a_folder_that_is_not_there_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text("meter_id,ts,index_l\n")
    refused = run("--readings", tmp_path / "readings.csv", "--out", tmp_path / "away" / "alerts.csv")
    assert refused.exit_code == 2
    assert "there is no folder" in refused.output
