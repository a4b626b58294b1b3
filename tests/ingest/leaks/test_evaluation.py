"""The detector on files of readings: what it finds, when it could know, and what it leaves alone."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest.alert_file import EvaluatedAlert
from ingest.leaks.evaluation import evaluated, read_readings, read_sizes
from ingest.leaks.habits import is_weekend
from metering.errors import RequestError
from metering.leak_settings import LeakSettings
from tests.ingest.leaks import homes

HOMES = 40
BEGIN = 40 * 24
LEAK_L_H = 6.0


def found(path: Path, **settings: float) -> list[EvaluatedAlert]:
    return list(evaluated(read_readings(path), LeakSettings(**settings)))


def since(alert: EvaluatedAlert, hour: int) -> timedelta:
    return alert.raised_at - (homes.FIRST + timedelta(hours=hour))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> list[EvaluatedAlert]:
    """Faults of homes 0 to 5, quiet in all others, a tenth of the readings lost."""
    flow = homes.flows(HOMES)
    flow[0, BEGIN:] += LEAK_L_H
    flow[1, BEGIN : BEGIN + 5] += 900
    flow[2, BEGIN:] = 0
    flow[3, BEGIN] = -5
    flow[4, 35 * 24 :] = np.floor(flow[4, 35 * 24 :] * 0.25)
    path = tmp_path_factory.mktemp("town") / "readings.csv"
    homes.write(path, flow, lost=0.1)
    whole = path.read_text().splitlines()
    cut = str(homes.FIRST + timedelta(hours=BEGIN))
    path.write_text("\n".join(line for line in whole if not (line.startswith("M5,") and line.split(",")[1] > cut)))
    return found(path)


@pytest.mark.parametrize(
    ("home", "kind", "within_days"),
    [(0, "LEAK", 3), (1, "BURST", 0.25), (2, "STUCK", 12), (3, "REVERSE", 0.25), (4, "UNDER", 25), (5, "NOREPORT", 5)],
)
def test_each_fault_is_found_in_time(town: list[EvaluatedAlert], home: int, kind: str, within_days: float) -> None:
    first = min((alert for alert in town if (alert.subject, alert.kind) == (f"M{home}", kind)),
                key=lambda alert: alert.raised_at)  # fmt: skip
    assert timedelta(0) <= since(first, 35 * 24 if kind == "UNDER" else BEGIN) <= timedelta(days=within_days)


def test_the_leak_is_measured(town: list[EvaluatedAlert]) -> None:
    last = max((alert for alert in town if (alert.subject, alert.kind) == ("M0", "LEAK")), key=lambda a: a.raised_at)
    assert last.est_rate_lph == pytest.approx(LEAK_L_H, rel=0.2)
    assert last.est_start is not None
    assert abs(last.est_start - (homes.FIRST + timedelta(hours=BEGIN))) <= timedelta(hours=12)


def test_quiet_homes_are_left_alone(town: list[EvaluatedAlert]) -> None:
    assert not [alert for alert in town if int(alert.subject[1:]) > 5]


def test_nothing_later_changes_what_was_raised(tmp_path: Path) -> None:
    """Evaluated on the readings up to an instant, the alerts are those that the whole file gives up to it."""
    flow = homes.flows(6)
    flow[0, BEGIN:] += LEAK_L_H
    flow[1, BEGIN : BEGIN + 5] += 900
    cut = BEGIN + 30
    homes.write(tmp_path / "all", flow)
    homes.write(tmp_path / "part", flow[:, :cut])
    until = homes.FIRST + timedelta(hours=cut)
    early = {(a.subject, a.kind, a.raised_at) for a in found(tmp_path / "all") if a.raised_at <= until}
    assert early == {(a.subject, a.kind, a.raised_at) for a in found(tmp_path / "part")} != set()


def test_more_evidence_is_later(tmp_path: Path) -> None:
    flow = homes.flows(1)
    flow[0, BEGIN:] += LEAK_L_H
    homes.write(tmp_path / "readings", flow)
    soon, late = (found(tmp_path / "readings", evidence=evidence)[0] for evidence in (0.7, 3.0))
    assert (soon.kind, late.kind) == ("LEAK", "LEAK")
    assert soon.raised_at < late.raised_at


def test_lines_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "readings"
    for text, says in [
        ("meter,ts,index\n", "first line must be meter_id,ts,index_l"),
        ("meter_id,ts,index_l\nM1,2025-01-06 00:00:00,1\nM1,soon,2\n", "line 3"),
        ("meter_id,ts,index_l\nM1,2025-01-06 00:00:00\n", "line 2: 2 fields, not 3"),
        ("meter_id,ts,index_l\nM1,2025-01-06 00:00:00,inf\n", "line 2: 'inf' is no number"),
        ("meter_id,ts,index_l\nM1,,1\n", "line 2: '' is no time"),
        ("meter_id,ts,index_l\nM1,0001-01-01 00:00,1\nM1,9999-12-31 23:00,2\n", "was a clock wrong"),
    ]:
        path.write_text(text)
        with pytest.raises(RequestError, match=says):
            read_readings(path)
    path.write_text("meter_id,ts,index_l\n")
    assert found(path) == []


def test_weekends() -> None:
    monday = date(2025, 1, 6).toordinal() - date(1970, 1, 1).toordinal()
    assert [is_weekend(monday + day) for day in range(7)] == [False] * 5 + [True] * 2


def test_sizes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("meter_id,q3_m3_h\nM1,2.5\nM2,16\n")
    assert read_sizes(path) == {"M1": 2_500, "M2": 16_000}


@pytest.mark.parametrize("text", ["meter_id,dn\n", "meter_id,q3_m3_h\nM1\n", "meter_id,q3_m3_h\nM1,0\n",
                                  "meter_id,q3_m3_h\nM1,inf\n", "meter_id,q3_m3_h\nM1,20000\n"])  # fmt: skip
def test_sizes_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text(text)
    with pytest.raises(RequestError, match=r"sizes\.csv"):
        read_sizes(path)
