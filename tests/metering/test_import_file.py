"""Import files as rows: CSV and workbooks alike, and archives that mean harm."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime

import pytest
from openpyxl import Workbook

from ingest.registry.meter_rows import parse_csv, parse_file
from metering import import_file as module
from metering.errors import ImportRowsError
from metering.import_file import FileRow, file_rows


def workbook(*rows: list[object]) -> bytes:
    made = Workbook()
    for row in rows:
        made.active.append(row)
    body = io.BytesIO()
    made.save(body)
    return body.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return body.getvalue()


def refused(data: bytes) -> str:
    with pytest.raises(ImportRowsError) as caught:
        list(file_rows(data))
    return caught.value.rows[0][2]


def test_cells_are_read_as_they_look() -> None:
    data = workbook(
        ["serial", "imei", "critical", "installed_at", "q3_m3h", None],
        [20260000000001, 861234567890123, True, datetime(2026, 1, 31, 8), 2.5],  # noqa: DTZ001 - cells have no time zone
        [],
        ["00001", None, None, None, None],
    )
    assert list(file_rows(data)) == [
        FileRow(1, ["serial", "imei", "critical", "installed_at", "q3_m3h"]),
        FileRow(2, ["20260000000001", "861234567890123", "true", "2026-01-31T08:00:00", "2.5"]),
        FileRow(4, ["00001", "", "", "", ""]),
    ]


def test_a_workbook_gives_the_meters_of_the_same_csv() -> None:
    rows = [["serial", "imei", "address", "dn_mm"], ["1001", "861234567890123", "龙湾大街 1 号", "20"]]
    assert parse_file(workbook(*rows)) == parse_csv("\n".join(",".join(row) for row in rows))


def test_bad_fields_of_a_workbook_are_named_by_their_row() -> None:
    with pytest.raises(ImportRowsError) as caught:
        parse_file(workbook(["serial", "imei"], ["1001", "86"], ["1002", None, "more"]))
    assert caught.value.rows == [(2, "imei", "'86' is not 15 digits"), (3, "", "3 fields, the header has 2")]


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = archive({"xl/worksheets/sheet1.xml": bytes(64 << 20)})
    assert len(bomb) < 100_000
    monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 1 << 20)
    assert "too large" in refused(bomb)
    assert "too large" in refused(archive({f"{n}": b"" for n in range(2000)}))
    monkeypatch.setattr(module, "MAX_SHARED_TEXT_BYTES", 1 << 10)
    assert "too large" in refused(archive({"xl/sharedStrings.xml": bytes(1 << 11)}))


def test_a_workbook_of_entities_is_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    assert "entities" in refused(archive({"xl/workbook.xml": bomb}))
    assert "entities" in refused(archive({"xl/workbook.xml": bomb.decode().encode("utf-16")}))


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"PK\x03\x04" + bytes(100), archive({"a": b"b"})])
def test_what_is_no_workbook_is_said(data: bytes) -> None:
    assert "cannot be read" in refused(data)


def test_a_sheet_wider_than_any_table_is_refused() -> None:
    assert "columns" in refused(workbook([f"c{n}" for n in range(100)]))
