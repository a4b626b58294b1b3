"""An import file as rows of text, whether it is CSV or a workbook (XLSX), in bounded memory.

CSV is UTF-8 (with or without BOM), GB18030 or UTF-16, its fields separated by comma, semicolon or tab, whichever the
header uses. Of a workbook the first sheet is read, and of its cells the values: a number without fraction as its
digits, a date in ISO 8601. A workbook is a ZIP archive of XML: one that unpacks to more than MAX_UNPACKED_BYTES is
refused before anything of it is unpacked (zipfile never unpacks more of a member than its directory says), and so is
one that declares entities.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from openpyxl import load_workbook

from metering.errors import ImportRowsError

IMPORT_LOCK = 0x6E6277696D70
"""Advisory lock of the one import into a registry that runs ("nbwimp" in ASCII)."""

XLSX_SIGNATURE = b"PK\x03\x04"
MAX_FILE_BYTES = 256 << 20
MAX_WORKBOOK_BYTES = 64 << 20
MAX_UNPACKED_BYTES = 768 << 20
MAX_SHARED_TEXT_BYTES = 128 << 20
"""Of the texts of all cells, which stay in memory while the workbook is read."""

MAX_MEMBERS = 1_000
MAX_COLUMNS = 64
MAX_CELL_CHARACTERS = 4_096
_SHARED_TEXT = "xl/sharedStrings.xml"
_PROLOGUE_BYTES = 4_096


class FileRow(NamedTuple):
    """`line`: in the file, the header being line 1; in a workbook the row of the sheet."""

    line: int
    fields: list[str]


def file_rows(data: bytes) -> Iterator[FileRow]:
    """The header and all rows that are not empty. Raises ImportRowsError."""
    if len(data) > MAX_FILE_BYTES:
        raise ImportRowsError([(1, "", f"the file is larger than {MAX_FILE_BYTES >> 20} MB")])
    return _workbook_rows(data) if data.startswith(XLSX_SIGNATURE) else csv_rows(decode_file(data))


def decode_file(data: bytes) -> str:
    """The text of a file as spreadsheets write it. Raises ImportRowsError."""
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    encodings = ["utf-16"] if is_utf16 else ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ImportRowsError([(1, "", f"the file is text in none of {', '.join(encodings)}")])


def csv_rows(text: str) -> Iterator[FileRow]:
    text = text.removeprefix("\ufeff")
    header_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield FileRow(reader.line_num, fields)
    except csv.Error as error:
        raise ImportRowsError([(reader.line_num, "", f"not a CSV line: {error}")]) from error


def _workbook_rows(data: bytes) -> Iterator[FileRow]:
    _check_archive(data)
    try:
        workbook = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        try:
            sheet = workbook.worksheets[0]
            sheet.reset_dimensions()  # a file may state any
            yield from _sheet_rows(sheet)
        finally:
            workbook.close()
    except ImportRowsError:
        raise
    except Exception as error:  # of the many kinds by which openpyxl says that a file is none
        raise ImportRowsError([(1, "", f"the workbook cannot be read: {type(error).__name__}")]) from error


def _sheet_rows(sheet: Any) -> Iterator[FileRow]:
    """As wide as the header: spreadsheets leave out empty cells at a row's end, or add some."""
    width = 0
    for line, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if len(cells) > MAX_COLUMNS and any(cell is not None for cell in cells[MAX_COLUMNS:]):
            raise ImportRowsError([(line, "", f"more than {MAX_COLUMNS} columns")])
        fields = [_text(cell) for cell in cells[:MAX_COLUMNS]]
        while fields and not fields[-1].strip() and (not width or len(fields) > width):
            fields.pop()
        if any(field.strip() for field in fields):
            width = width or len(fields)
            yield FileRow(line, fields + [""] * (width - len(fields)))


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    return str(cell)[:MAX_CELL_CHARACTERS]


def _check_archive(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            text = sum(member.file_size for member in members if member.filename == _SHARED_TEXT)
            unpacked = sum(member.file_size for member in members)
            if (
                len(data) > MAX_WORKBOOK_BYTES
                or len(members) > MAX_MEMBERS
                or unpacked > MAX_UNPACKED_BYTES
                or text > MAX_SHARED_TEXT_BYTES
            ):
                raise ImportRowsError([(1, "", "the workbook is too large: save it as CSV, or in parts")])
            for member in members:
                with archive.open(member) as file:
                    if b"<!DOCTYPE" in file.read(_PROLOGUE_BYTES).replace(b"\0", b"").upper():
                        raise ImportRowsError([(1, "", "the workbook declares entities, as no spreadsheet does")])
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ImportRowsError([(1, "", f"the workbook cannot be read: {type(error).__name__}")]) from error
