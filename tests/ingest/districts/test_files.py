"""Files of districts: what is read, and which line is to blame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingest.districts.files import read_inflows, read_inlet
from metering.errors import RequestError


def test_an_inlet(tmp_path: Path) -> None:
    path = tmp_path / "inlet.csv"
    path.write_text("ts,inlet_index_m3\n1970-01-01 00:00:00,1.5\n1970-01-01 01:00:00,1.52\n")
    found = read_inlet(path)
    assert (found.meter.tolist(), found.ts_s.tolist(), found.index_ml.tolist()) == (
        [0, 0], [0, 3600], [1_500_000, 1_520_000]
    )  # fmt: skip


def test_inflows(tmp_path: Path) -> None:
    path = tmp_path / "inflow.csv"
    path.write_text("ts,A,B\n1970-01-02 00:00:00,1.5,2\n1970-01-02 01:00:00,,3\n1970-01-02 03:00:00,5,6\n")
    found = read_inflows(path)
    assert (found.subjects, found.first_s) == (["A", "B"], 86_400)
    np.testing.assert_array_equal(found.flow_l_s, [[1.5, np.nan, np.nan, 5], [2, 3, np.nan, 6]])


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (read_inlet, "ts,x\n", "no lines but the first"),
        (read_inlet, "ts,x\n1970-01-01,1\n", "first line must be ts,inlet_index_m3"),
        (read_inlet, "ts,inlet_index_m3\n1970-01-01,1\nx,1\n", "line 3"),
        (read_inflows, "ts,A\n1970-01-01 00:00,1\n1970-01-01 00:30,1\n", "line 3: no whole hour after"),
        (read_inflows, "ts,A\n1970-01-01 00:00,1,2\n", "line 2: 3 fields, not 2"),
        (read_inflows, "ts\n1970-01-01 00:00\n", "names of districts"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, read, text: str, says: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text)
    with pytest.raises(RequestError, match=says):
        read(path)
