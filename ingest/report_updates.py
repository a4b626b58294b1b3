"""Rows of `reports` written anew, when a report is read a second time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metering.model import Outcome

from .report_rows import REPORT_COLUMNS, Row

_KEPT = ("received_at", "report_id", "stream_sequence")
CHANGED = tuple(column for column in REPORT_COLUMNS if column not in _KEPT)
_UPDATE = """
    UPDATE reports SET {}
    FROM unnest({}) AS new ({})
    WHERE reports.received_at = new.received_at AND reports.report_id = new.report_id
      AND reports.received_at BETWEEN ${} AND ${} AND reports.outcome = ANY (${}::text[])
""".format(  # noqa: S608 - names of ours
    ", ".join(f"{column} = new.{column}" for column in CHANGED),
    ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(REPORT_COLUMNS.values(), 1)),
    ", ".join(REPORT_COLUMNS),
    *range(len(REPORT_COLUMNS) + 1, len(REPORT_COLUMNS) + 4),
)


async def update_reports(connection: Any, rows: Sequence[Row], before: Sequence[Outcome]) -> None:
    """Give these reports (columns as REPORT_COLUMNS) their new rows, where their outcome is still one of `before`."""
    if rows:
        columns = list(map(list, zip(*rows, strict=True)))
        await connection.execute(_UPDATE, *columns, min(columns[0]), max(columns[0]), list(map(str, before)))
