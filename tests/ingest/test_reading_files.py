"""CSV files as people have them: from spreadsheets, of other encodings, and no CSV at all."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ingest.reading_files import DAY_S, MAX_DAYS, check_span, rows_of
from metering.errors import RequestError

TEXT = "meter_id,ts\n水表1,2026-02-01\n"


@pytest.mark.parametrize("content", [TEXT.encode(), TEXT.replace("\n", "\r\n").encode(), TEXT.encode("utf-8-sig")])
def test_what_spreadsheets_save_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.csv").write_bytes(content)
    assert list(rows_of(tmp_path / "file.csv")) == [["meter_id", "ts"], ["水表1", "2026-02-01"]]


@pytest.mark.parametrize("content", [TEXT.encode("utf-16"), TEXT.encode("gbk"), b"x" * (csv.field_size_limit() + 1)])
def test_what_is_no_such_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.csv").write_bytes(content)
    with pytest.raises(RequestError, match=r"file\.csv: this is no "):
        list(rows_of(tmp_path / "file.csv"))


def test_times_lie_within_a_span_that_memory_holds() -> None:
    check_span(Path("x"), 0, MAX_DAYS * DAY_S)
    with pytest.raises(RequestError, match="was a clock wrong"):
        check_span(Path("x"), 0, (MAX_DAYS + 1) * DAY_S)
