from __future__ import annotations

import pytest

from ingest.identity import RepeatMemory, identity_of
from metering.envelope import Report
from metering.model import Authentication, DecodedReport, DeviceState, Door

REPORT = Report(bytes(16), 0, Door.COAP, Authentication.CLAIMED, "1001", 60, b"payload", "here")
CONTENT = DecodedReport(DeviceState(), [10, 20], [1, 2], seq=5)


def test_with_a_counter_the_readings_count_and_neither_bytes_nor_state() -> None:
    same = CONTENT._replace(state=DeviceState(battery_mv=3600))
    assert identity_of("1001", REPORT, CONTENT) == identity_of("1001", REPORT._replace(payload=b"other"), same)


@pytest.mark.parametrize(
    "other",
    [CONTENT._replace(seq=6), CONTENT._replace(index_ml=[1, 3]), CONTENT._replace(ts_s=[10, 21])],
)
def test_another_counter_or_reading_is_another_report(other: DecodedReport) -> None:
    assert identity_of("1001", REPORT, CONTENT) != identity_of("1001", REPORT, other)


def test_without_a_counter_the_bytes_count() -> None:
    bare = CONTENT._replace(seq=None)
    identity = identity_of("1001", REPORT, bare)
    assert identity != identity_of("1001", REPORT._replace(payload=b"other"), bare)
    assert identity != identity_of("1001", REPORT._replace(content_format=42), bare)
    assert identity != identity_of("1002", REPORT, bare)
    assert -(2**63) <= identity < 2**63


def test_the_memory_knows_a_window_and_is_bounded() -> None:
    memory = RepeatMemory(limit=10)
    memory.add("1001", 1, 1_000)
    assert memory.has("1001", 1, 1_500, 500)
    assert memory.has("1001", 1, 500, 500)
    assert not memory.has("1001", 1, 1_501, 500)
    assert not memory.has("1002", 1, 1_000, 500)
    for n in range(100):
        memory.add("1001", n, 0)
        assert len(memory) <= 10
    assert memory.has("1001", 99, 0, 0)
    memory.clear()
    assert len(memory) == 0
