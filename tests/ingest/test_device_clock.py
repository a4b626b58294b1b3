"""Clocks that are certainly wrong: never set, or ahead; one that is behind is left alone."""

from __future__ import annotations

from ingest.device_clock import Correction, corrected, correction
from metering.model import DecodedReport, DeviceState

RECEIVED_S = 1_790_000_000
HOUR_S = 3_600


def report(last_s: int, clock_s: int | None) -> DecodedReport:
    return DecodedReport(DeviceState(device_time_s=clock_s), [last_s - HOUR_S, last_s], [100, 110], extra={"kept": 1})


def found(last_s: int, clock_s: int | None) -> Correction | None:
    return correction(report(last_s, clock_s), last_s, RECEIVED_S)


def test_a_clock_that_was_never_set_counts_from_receipt() -> None:
    began_s = 946_684_800  # 2000-01-01, and 50 hours later by its own clock
    last_s, clock_s = began_s + 50 * HOUR_S, began_s + 50 * HOUR_S + 600
    offset = found(last_s, clock_s)
    assert offset == (RECEIVED_S - clock_s, "never_set")
    moved = corrected(report(last_s, clock_s), offset)
    assert list(moved.ts_s) == [RECEIVED_S - 600 - HOUR_S, RECEIVED_S - 600]
    assert moved.extra == {"kept": 1, "clock_offset_s": offset.offset_s, "clock": "never_set"}


def test_without_a_clock_of_its_own_the_newest_reading_is_of_receipt() -> None:
    assert found(50 * HOUR_S, None) == (RECEIVED_S - 50 * HOUR_S, "never_set")


def test_a_clock_that_runs_ahead_is_put_back() -> None:
    assert found(RECEIVED_S + HOUR_S, RECEIVED_S + 2 * HOUR_S) == (-2 * HOUR_S, "ahead")


def test_what_is_not_certain_stays() -> None:
    assert found(RECEIVED_S - HOUR_S, RECEIVED_S + 300) is None
    assert found(RECEIVED_S - 50 * HOUR_S, RECEIVED_S - 48 * HOUR_S) is None  # late, or behind: nobody can tell
    assert found(50 * HOUR_S, RECEIVED_S) is None  # it was set meanwhile: the old readings have no time
    assert found(RECEIVED_S + HOUR_S, None) is None
    assert found(RECEIVED_S - HOUR_S, 10**18) is None  # no clock at all, and none that stamped the readings
