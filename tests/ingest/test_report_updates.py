"""What a report that is read again may change of its row."""

from __future__ import annotations

from ingest.report_rows import REPORT_COLUMNS
from ingest.report_updates import CHANGED


def test_its_key_and_the_message_it_came_in_stay() -> None:
    assert set(REPORT_COLUMNS) - set(CHANGED) == {"received_at", "report_id", "stream_sequence"}
