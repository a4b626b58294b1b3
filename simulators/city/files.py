"""A city written straight to files, in the form of leakbench: readings.csv, dma_inlet.csv, inflow.csv, truth.json.

Week by week: the registers of all meters at a week's hours are held at once (170 x 5 bytes a meter), nothing longer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.city import rows
from simulators.city.district import Inflow, inflow
from simulators.city.plan import Bools, CityOptions, CityPlan, meter_id
from simulators.city.registers import by_district, registers
from simulators.city.reporting import arrived, by_its_clock, reports
from simulators.city.truth import of_files
from simulators.local_time import HOUR_S, local_text
from simulators.water.block import ML_PER_L, RunningOn, running_on
from simulators.water.calendar import EPOCH_S, WEEK_S, Floats
from simulators.water.users import BLOCK

L_PER_M3, S_PER_H = 1_000, 3_600
FIRST_INLET_M3 = 10_000
MAX_METERS = 1_000_000
READINGS, INLET, INFLOW, REPORTS, TRUTH = "readings.csv", "dma_inlet.csv", "inflow.csv", "reports.csv", "truth.json"
Done = Callable[[int], None]
"""Told how many meter-days are written."""


class Written(NamedTuple):
    readings: int
    reports: int
    events: int
    main_leaks: int


class _Span(NamedTuple):
    """Hours from `from_s` on, of all meters."""

    from_s: int
    index_l: NDArray[np.int32]
    there: Bools


class CityFiles:
    def __init__(self, options: CityOptions, directory: Path, done: Done) -> None:
        self._plan, self._options, self._directory, self._done = CityPlan(options), options, directory, done
        self._used_l = np.zeros((options.districts, options.days * 24))
        self._changed_l: dict[int, float] = {}
        self._running_on: set[RunningOn] = set()
        self._names = rows.texts([meter_id(number) for number in range(options.meters)])

    def write(self, with_reports: bool) -> Written:
        """Into the directory, which is made; raises OSError when it cannot be written."""
        self._directory.mkdir(parents=True, exist_ok=True)
        readings = 0
        with (self._directory / READINGS).open("wb") as file:
            file.write(b"meter_id,ts,index_l\n")
            for from_s, hours in _spans(self._options):
                readings += self._write_span(file, self._play(from_s, hours))
                self._done(self._options.meters * hours // 24)
        sent = self._write_reports() if with_reports else 0
        inflows = [inflow(self._options, number, used) for number, used in enumerate(self._used_l)]
        self._write_inflows(inflows)
        truth = of_files(self._plan, inflows, self._changed_l, sorted(self._running_on))
        (self._directory / TRUTH).write_text(json.dumps(truth, indent=1) + "\n")
        return Written(readings, sent, len(truth["events"]), len(truth["dma_events"]))

    def _play(self, from_s: int, hours: int) -> _Span:
        options, plan = self._options, self._plan
        index_l, there = np.zeros((options.meters, hours), np.int32), np.zeros((options.meters, hours), np.bool_)
        labels = from_s + np.arange(hours) * HOUR_S
        first = (from_s - options.start_s) // HOUR_S
        for number in range(options.blocks):
            fleet, of = plan.fleet(number), registers(plan, number, from_s, hours)
            meters = slice(number * BLOCK, min(number * BLOCK + BLOCK, options.meters))
            count = meters.stop - meters.start
            shown = by_its_clock(fleet, options.start_s, labels, of.register_ml)[:count]
            index_l[meters] = shown // ML_PER_L
            there[meters] = arrived(plan, number, fleet, reports(plan, number, fleet), labels)[:count]
            taken = by_district(fleet.district[:count], of.taken_ml[:count], options.districts)
            self._used_l[:, first : first + hours] += taken
            self._changed_l.update(of.changed_l)
            self._running_on.update(running_on(options.seed, number, from_s, from_s + hours * HOUR_S))
        return _Span(from_s, index_l, there)

    def _write_span(self, file: IO[bytes], span: _Span) -> int:
        for hour in range(span.index_l.shape[1]):
            there = np.flatnonzero(span.there[:, hour])
            index_l = span.index_l[there, hour].astype(np.int64)
            file.write(rows.hour_lines(self._names.of(there), span.from_s + hour * HOUR_S, index_l))
        return int(span.there.sum())

    def _write_reports(self) -> int:
        """One line a report that arrived, by meter and day."""
        written = 0
        with (self._directory / REPORTS).open("wb") as file:
            file.write(b"meter_id,due,arrived,cell_id,ecl,rsrp_ddbm,battery_mv\n")
            for number in range(self._options.blocks):
                fleet = self._plan.fleet(number)
                of = reports(self._plan, number, fleet)
                within = np.arange(BLOCK)[:, None] < self._options.meters - number * BLOCK
                meter, day = np.nonzero((of.arrives_s >= 0) & (of.due_s < self._options.end_s) & within)
                file.write(rows.lines(
                    self._names.of(number * BLOCK + meter), rows.instants(of.due_s[meter, day]),
                    rows.instants(of.arrives_s[meter, day]), rows.integers(fleet.cell[meter]),
                    rows.integers(fleet.ecl[meter]), rows.integers(fleet.rsrp_ddbm[meter]),
                    rows.integers(of.battery_mv[meter, day]),
                ))  # fmt: skip
                written += len(meter)
        return written

    def _write_inflows(self, inflows: list[Inflow]) -> None:
        """The whole city's inlet meter as an index; of several districts the inflow of each besides, in L/s."""
        flows = np.array([one.flow_l_h for one in inflows])
        ts = [local_text(self._options.start_s + hour * HOUR_S) for hour in range(flows.shape[1])]
        index = FIRST_INLET_M3 + np.cumsum(flows.sum(0)) / L_PER_M3
        _write_table(self._directory / INLET, ["inlet_index_m3"], ts, index[:, None], 2)
        if len(inflows) > 1:
            _write_table(self._directory / INFLOW, [one.name for one in inflows], ts, flows.T / S_PER_H, 4)


def _write_table(path: Path, names: list[str], ts: list[str], values: Floats, decimals: int) -> None:
    with path.open("w") as file:
        file.write(",".join(["ts", *names]) + "\n")
        for instant, row in zip(ts, values, strict=True):
            file.write(",".join([instant, *(f"{value:.{decimals}f}" for value in row)]) + "\n")


def _spans(options: CityOptions) -> list[tuple[int, int]]:
    """First instant and hours of each: calendar weeks, the first and the last cut."""
    first_week = (options.start_s - EPOCH_S) // WEEK_S
    bounds = [*range(EPOCH_S + (first_week + 1) * WEEK_S, options.end_s, WEEK_S), options.end_s]
    begins = [options.start_s, *bounds[:-1]]
    return [(begin, (end - begin) // HOUR_S) for begin, end in zip(begins, bounds, strict=True)]
