"""Evaluation can score a city against its truth: the classic rule, over the very files, finds what was put in."""

import csv
import json
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import pytest

from ingest.leaks import rules
from metering import consumption
from simulators.city.files import CityFiles
from simulators.city.plan import CityOptions
from simulators.local_time import DAY_S, HOUR_S, UTC_OFFSET_S
from simulators.water.calendar import EPOCH_S, WEEK_S

METERS, DAYS = 256, 63
START_S = EPOCH_S + 53 * WEEK_S
STEADY = {"toilet", "pipe"}
LITRE = 1_000


def instant(text):
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()) - UTC_OFFSET_S


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = tmp_path_factory.mktemp("city")
    CityFiles(CityOptions(METERS, DAYS, START_S, seed=5, faults=0.4), directory, lambda _: None).write(False)
    return directory


@pytest.fixture(scope="module")
def truth(written):
    return json.loads((written / "truth.json").read_text())


@pytest.fixture(scope="module")
def readings(written):
    """By meter: instants and indices."""
    found = defaultdict(lambda: ([], []))
    with (written / "readings.csv").open() as file:
        for row in csv.DictReader(file):
            instants, indices = found[row["meter_id"]]
            instants.append(instant(row["ts"]))
            indices.append(int(row["index_l"]))
    return {meter: (np.array(ts), np.array(index) * LITRE) for meter, (ts, index) in found.items()}


def running_at(readings_of_meter, until_s):
    """The continuous flow that the rule sees at this instant, with what was known by then."""
    ts, index = readings_of_meter
    known = ts <= until_s
    curve = consumption.validated(ts[known], index[known], consumption.Limits.of())
    flows = rules.continuous_flow(rules.hours(curve, np.array([LITRE])))
    return [flow for flow in flows if flow.ended_at_s is None and flow.seen_at_s > until_s - 6 * HOUR_S]


def test_steady_leaks_are_found_within_three_days_and_sized(truth, readings):
    leaks = [event for event in truth["events"] if event["kind"] in STEADY]
    long = [leak for leak in leaks if instant(leak["end"]) - instant(leak["start"]) > 3 * DAY_S]
    assert len(long) >= 8
    found = {}
    for leak in long:
        for flow in running_at(readings[leak["meter"]], instant(leak["start"]) + 3 * DAY_S):
            found[leak["meter"]] = flow.rate_ml_h / LITRE / leak["rate"]
    assert len(found) >= 0.9 * len(long)
    assert 0.8 < np.median(list(found.values())) < 1.2


def test_quiet_meters_are_quiet_at_nearly_any_time(truth, readings):
    quiet = [meter["meter"] for meter in truth["meters"] if meter["kind"] == "clean" and meter["use"] == "home"]
    sundays = range(START_S + 2 * WEEK_S, START_S + DAYS * DAY_S, WEEK_S)
    alarmed = sum(bool(running_at(readings[meter], sunday)) for meter in quiet for sunday in sundays)
    assert alarmed <= 0.03 * len(quiet) * len(sundays)


def test_the_files_have_the_form_that_the_scorer_reads(written, truth):
    assert {"seed", "n", "days", "start", "meters", "events", "dma_events"} <= set(truth)
    assert (truth["n"], truth["days"], truth["start"]) == (METERS, DAYS, "2025-01-06 00:00:00")
    assert len(truth["meters"]) == METERS
    assert all({"kind", "start", "end", "rate", "vol", "meter"} <= set(event) for event in truth["events"])
    assert all({"dma", "type", "start", "end", "frac_mean"} <= set(event) for event in truth["dma_events"])
    assert {event["dma"] for event in truth["dma_events"]} == {"DMA-V1"}
    with (written / "readings.csv").open() as file:
        keys = [(row["ts"], row["meter_id"]) for row in csv.DictReader(file)]
    assert keys == sorted(keys)
    assert 0.95 < len(keys) / (METERS * DAYS * 24) <= 1


def test_silence_and_standing_still_are_in_the_readings(truth, readings):
    for event in truth["events"]:
        ts, index = readings[event["meter"]]
        within = (ts > instant(event["start"])) & (ts < instant(event["end"]))
        if event["kind"] in ("noreport", "c_gap"):
            assert not within.any()
        if event["kind"] == "stuck":
            assert len(set(index[within].tolist())) <= 1


def test_cisterns_that_run_on_for_a_day_are_leaks(truth, readings):
    """Not those of people who are away, or whose register stands still."""
    cisterns = [event for event in truth["events"] if event["kind"] == "continuous"]
    assert len(cisterns) > 20
    for event in cisterns:
        ts, index = readings[event["meter"]]
        within = (ts >= instant(event["start"])) & (ts <= instant(event["end"]))
        counted = index[within][[0, -1]] if within.sum() > 20 else None
        if counted is not None:
            hours = (ts[within][-1] - ts[within][0]) / HOUR_S
            assert (counted[1] - counted[0]) / LITRE >= 0.9 * event["rate"] * hours - 2


def test_the_inlet_has_what_the_meters_count_and_more(written, truth, readings):
    with (written / "dma_inlet.csv").open() as file:
        index = [float(row["inlet_index_m3"]) for row in csv.DictReader(file)]
    inflow_m3 = index[-1] - index[0]
    counted_m3 = sum((of[-1] - of[0]) for _, of in readings.values()) / LITRE / 1000
    assert len(index) == DAYS * 24
    assert 1.05 < inflow_m3 / counted_m3 < 1.5
