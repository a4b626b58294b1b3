"""The file by which new keys reach the meter factory: CSV or XLSX, for its owner only, written once.

`nbwater keys import` reads the same file. Nothing else ever holds the plain keys.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from ingest.registry.credentials import KeyHolder
from ingest.registry.key_rows import COLUMNS
from metering.errors import RequestError
from metering.new_keys import PlainKey

Row = tuple[KeyHolder, PlainKey]


@contextlib.contextmanager
def written(file: Path | None, rows: Iterable[Row]) -> Iterator[None]:
    """The keys are in `file`, on disk, or on standard output (None: as CSV), while the block runs; when the block fails
    the file is gone again. Raises RequestError when it exists or cannot be written."""
    if file is None:
        sys.stdout.write(_csv(rows))
        sys.stdout.flush()
        yield
        return
    body = _workbook(rows) if file.suffix.lower() == ".xlsx" else _csv(rows).encode("utf-8-sig")
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(body)
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError as error:
        raise RequestError(f"{file} exists already: keys are written to a file of their own") from error
    except OSError as error:
        raise RequestError(f"{file} cannot be written: {error.strerror or error}") from error
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _csv(rows: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_fields, rows))
    return text.getvalue()


def _workbook(rows: Iterable[Row]) -> bytes:
    """All cells are texts: a spreadsheet would make numbers of IMEIs and of some keys."""
    workbook = Workbook(write_only=True)
    sheet: WriteOnlyWorksheet = workbook.create_sheet("keys")
    sheet.append(COLUMNS)
    for row in rows:
        sheet.append([_text_cell(sheet, field) for field in _fields(row)])
    body = io.BytesIO()
    workbook.save(body)
    return body.getvalue()


def _text_cell(sheet: WriteOnlyWorksheet, text: str) -> WriteOnlyCell:
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    return cell


def _fields(row: Row) -> tuple[str, ...]:
    """In the order of COLUMNS."""
    holder, key = row
    return (
        holder.device, holder.serial, holder.imei, key.kind.name.lower(), key.shown_id, key.shown_key, key.salt.hex(),
        (key.id_context or b"").hex(), key.server_id.hex(),
    )  # fmt: skip
