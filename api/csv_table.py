"""Tables as CSV that a spreadsheet program opens without running anything in it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from starlette.responses import Response

_NO_NAME = re.compile(r'[\x00-\x1f"*/:<>?\\|]+')
"""Characters that some file systems do not take."""
BYTE_ORDER_MARK = "\ufeff"
"""In front of a file: by it Excel takes Chinese for what it is."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """RFC 4180. Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return out.getvalue()


def csv_answer(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A download called `name`.csv."""
    text = csv_text(header, rows)
    text = text if text.isascii() else BYTE_ORDER_MARK + text
    return Response(text, media_type="text/csv; charset=utf-8", headers=attachment(f"{name}.csv"))


def attachment(name: str) -> dict[str, str]:
    """The header that makes an answer a file of this name (RFC 6266): in full, and for those who cannot read that
    reduced to plain characters."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    full = "" if plain == name else f"; filename*=UTF-8''{quote(_NO_NAME.sub('_', name), safe='')}"
    return {"Content-Disposition": f'attachment; filename="{plain}"{full}'}


def safe_cell(value: object) -> object:
    """As a spreadsheet may have it: nothing for None, and no text that it would take for a formula."""
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value
