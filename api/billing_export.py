"""A billing period as a file: CSV as a stream, XLSX as a workbook; Parquet see `billing_parquet`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import astuple, fields
from datetime import datetime
from enum import StrEnum
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from api.csv_table import BYTE_ORDER_MARK, csv_text, safe_cell
from api.queries.billing_ledger import CorrectionRow
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
    """Header, then a part for each page of lines."""
    yield BYTE_ORDER_MARK + csv_text(HEADER, [])
    async for lines in pages:
        if lines:
            yield csv_text((), (_cells(line) for line in lines)).removeprefix("\r\n")


async def csv_of_corrections(pages: AsyncIterator[list[CorrectionRow]]) -> AsyncIterator[str]:
    """The ledger, as `csv_parts`; reasons are separated by spaces."""
    yield BYTE_ORDER_MARK + csv_text([field.name for field in fields(CorrectionRow)], [])
    async for rows in pages:
        if rows:
            yield csv_text((), ([_plain(cell) for cell in astuple(row)] for row in rows)).removeprefix("\r\n")


async def workbook(pages: Pages) -> IO[bytes]:
    """An XLSX file, at its begin; in memory up to SPOOL_BYTES. Raises RequestError when a sheet cannot hold it.

    Rows are made and packed beside the event loop: a hundred thousand lines take half a minute.
    """
    book = Workbook(write_only=True)
    sheet = book.create_sheet("billing")
    sheet.append(HEADER)
    rows = 0
    async for lines in pages:
        rows += len(lines)
        if rows > MAX_SHEET_ROWS:
            raise RequestError(f"a sheet holds {MAX_SHEET_ROWS} lines: export this period as CSV")
        await asyncio.to_thread(_append, sheet, lines)
    file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - the caller reads and closes it
    await asyncio.to_thread(book.save, file)
    file.seek(0)
    return file


def _append(sheet: Any, lines: list[BillingLine]) -> None:
    for line in lines:
        sheet.append([_sheet_cell(cell) for cell in _cells(line)])


def _sheet_cell(cell: object) -> object:
    """XML has no room for control characters, which CSV takes."""
    cell = safe_cell(cell)
    return ILLEGAL_CHARACTERS_RE.sub(" ", cell) if isinstance(cell, str) else cell


def _cells(line: BillingLine) -> list[object]:
    return [_plain(cell) for cell in astuple(line)]


def _plain(cell: object) -> object:
    """As it stands in a file: words for a list, instants in full."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="seconds")
    return " ".join(cell) if isinstance(cell, list) else cell
