"""When two rows of a report say the same."""

from __future__ import annotations

from ingest.replay.rows import same_row
from ingest.report_rows import REPORT_COLUMNS


def row(**changed: object) -> tuple[object, ...]:
    return tuple((dict.fromkeys(REPORT_COLUMNS) | changed).values())


def test_the_text_of_what_is_kept_does_not_matter() -> None:
    assert same_row(row(extra='{"a": 1, "b": 2}'), row(extra='{"b":2,"a":1}'))
    assert not same_row(row(extra='{"a": 1}'), row(extra='{"a": 2}'))
    assert not same_row(row(extra='{"a": 1}'), row())
    assert not same_row(row(battery_mv=3600), row(battery_mv=3601))
    assert not same_row(row(stream_sequence=1), row(stream_sequence=2))
