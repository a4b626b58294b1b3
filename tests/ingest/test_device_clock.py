"""Clocks that are certainly wrong: never set, ahead, or behind day after day by the same; a late report is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.device_clock import (
    ALIKE,
    DAYS,
    STEP_S,
    TOLERANCE_S,
    Correction,
    behind_s,
    corrected,
    correction,
    lateness_s,
)
from metering.model import DecodedReport, DeviceState, Door

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


waits = st.integers(0, 30 * 86_400)
live = st.integers(0, TOLERANCE_S)


@given(live, st.lists(waits, max_size=DAYS - 1), st.integers(0, DAYS - 1))
def test_who_came_live_once_these_days_is_not_behind(at_once: int, late: list[int], position: int) -> None:
    own, *earlier = [*late[:position], at_once, *late[position:]]
    assert behind_s(own, earlier) == 0


@given(
    st.integers(0, 400 * 86_400), st.lists(live, min_size=ALIKE, max_size=DAYS), st.lists(waits, max_size=20), st.data()
)
def test_a_clock_that_is_behind_is_known_within_a_step(
    behind: int, live_waits: list[int], long_waits: list[int], data: st.DataObject
) -> None:
    days = [behind + wait for wait in live_waits + long_waits[: DAYS - len(live_waits)]]
    own, *earlier = data.draw(st.permutations(days))
    found = behind_s(own, earlier)
    least = min(days)
    assert found in (0, least // STEP_S * STEP_S)
    assert (found > 0) == (least > TOLERANCE_S)
    assert found <= own  # nothing is put after its receipt
    assert -STEP_S < found - behind <= TOLERANCE_S or found == 0
    assert found == behind_s(min(days), sorted(days)[1:])  # whatever the order of the days


@given(st.lists(st.integers(1, 100), min_size=DAYS, max_size=DAYS, unique=True))
def test_waits_that_differ_are_no_clock(hours: list[int]) -> None:
    own, *earlier = [hour * HOUR_S for hour in hours]
    assert behind_s(own, earlier) == 0


def test_too_few_days_tell_nothing_and_old_ones_do_not_count() -> None:
    assert behind_s(3 * HOUR_S, [3 * HOUR_S] * (ALIKE - 2)) == 0
    assert behind_s(3 * HOUR_S, [3 * HOUR_S + 20] * (ALIKE - 1)) == 3 * HOUR_S
    assert behind_s(3 * HOUR_S, [3 * HOUR_S] * (DAYS - 1) + [0]) == 3 * HOUR_S
    assert behind_s(20, [3 * HOUR_S] * 6) == 0  # it was set


def test_only_who_says_when_it_sends_and_comes_without_a_platform_is_judged() -> None:
    content = report(RECEIVED_S - 4 * HOUR_S, RECEIVED_S - 3 * HOUR_S)
    assert lateness_s(content, "native_cbor", Door.COAP, RECEIVED_S) == 3 * HOUR_S
    assert lateness_s(content, "cjt188", Door.COAP, RECEIVED_S) is None
    assert lateness_s(content, "native_cbor", Door.CTWING, RECEIVED_S) is None
    assert lateness_s(report(RECEIVED_S, None), "native_cbor", Door.COAP, RECEIVED_S) is None


def test_a_clock_that_is_behind_is_put_forward() -> None:
    last_s, clock_s = RECEIVED_S - 4 * HOUR_S, RECEIVED_S - 3 * HOUR_S - 20
    content, days = report(last_s, clock_s), [3 * HOUR_S + 25] * 5
    assert correction(content, last_s, RECEIVED_S, 3 * HOUR_S + 20, days) == (3 * HOUR_S, "behind")
    assert correction(content, last_s, RECEIVED_S, None, days) is None
    later = report(clock_s + 60, clock_s)
    assert correction(later, clock_s + 60, RECEIVED_S, 3 * HOUR_S, days) is None  # another clock stamped the readings
