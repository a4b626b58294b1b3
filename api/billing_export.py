"""A billing period as a file: CSV as a stream, XLSX as a workbook; Parquet see `billing_parquet`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from dataclasses import astuple, fields
from enum import StrEnum
from typing import IO

from openpyxl import Workbook

from api.csv_table import csv_text, safe_cell
from api.queries.billing_lines import BillingLine
from metering.errors import RequestError

HEADER = tuple(field.name for field in fields(BillingLine))
MAX_SHEET_ROWS = 1_000_000
"""A sheet has room for 1,048,576."""
SPOOL_BYTES = 8 << 20

Pages = AsyncIterator[list[BillingLine]]


class ExportForm(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


MEDIA_TYPES = {
    ExportForm.CSV: "text/csv; charset=utf-8",
    ExportForm.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportForm.PARQUET: "application/vnd.apache.parquet",
}


async def csv_parts(pages: Pages) -> AsyncIterator[str]:
    """Header, then a part for each page of lines. A byte order mark in front: Excel takes Chinese for what it is."""
    yield "\ufeff" + csv_text(HEADER, [])
    async for lines in pages:
        if lines:
            yield csv_text((), (_cells(line) for line in lines)).removeprefix("\r\n")


async def workbook(pages: Pages) -> IO[bytes]:
    """An XLSX file, at its begin; in memory up to SPOOL_BYTES. Raises RequestError when a sheet cannot hold it."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("billing")
    sheet.append(HEADER)
    rows = 0
    async for lines in pages:
        rows += len(lines)
        if rows > MAX_SHEET_ROWS:
            raise RequestError(f"a sheet holds {MAX_SHEET_ROWS} lines: export this period as CSV")
        for line in lines:
            sheet.append([safe_cell(cell) for cell in _cells(line)])
    file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - the caller reads and closes it
    book.save(file)
    file.seek(0)
    return file


def _cells(line: BillingLine) -> list[object]:
    return [str(cell).lower() if isinstance(cell, bool) else cell for cell in astuple(line)]
