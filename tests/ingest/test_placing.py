"""Every reading of a report ends with a meter or is rejected for a reason."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.classify import Decoded, Refused, bounds_of
from ingest.device_clock import corrected, correction
from ingest.identity import identity_of
from ingest.installations import Device, Installation
from ingest.placing import Placed, place_report
from metering import envelope
from metering.envelope import Report
from metering.model import AHEAD_S, EARLIEST_S, Authentication, DecodedReport, DeviceState, Door

NOW_S = 1_790_000_000
NOW_US = NOW_S * 1_000_000
DEVICE = Device(
    1, "1001", (Installation(10, "1001", 10**9, EARLIEST_S, NOW_S), Installation(11, "1002", 5, NOW_S, 2**40))
)
int64s = st.integers(-(2**63) + 1, 2**63 - 1)
times = st.one_of(int64s, st.integers(NOW_S - 100, NOW_S + AHEAD_S + 100), st.integers(EARLIEST_S - 9, EARLIEST_S + 9))
REPORT = Report(envelope.mint_report_id(NOW_US), NOW_US, Door.COAP, Authentication.CLAIMED, "1001", 60, b"", "here")


@given(st.lists(st.tuples(times, int64s), max_size=20), st.none() | int64s)
def test_every_reading_is_placed_or_rejected(rows: list[tuple[int, int]], untimed: int | None) -> None:
    content = DecodedReport(DeviceState(), [ts for ts, _ in rows], [ml for _, ml in rows], untimed_index_ml=untimed)
    decoded = Decoded(REPORT, "x", content, bounds_of([content])[0] if rows else None)
    step = place_report(decoded, DEVICE, mismatch_refuses=True)
    expected = rows if rows else [(NOW_S, untimed)] if untimed is not None else []
    if rows and (found := correction(content, max(ts for ts, _ in rows), NOW_S)):
        expected = list(zip(corrected(content, found).ts_s, content.index_ml, strict=True))
    good = []
    for ts, ml in expected:
        installed = DEVICE.at(ts)
        plausible = EARLIEST_S <= ts <= NOW_S + AHEAD_S
        if plausible and installed is not None and 0 <= ml <= installed.register_max_ml:
            good.append((installed.meter_id, ts, ml))
    if isinstance(step, Refused):
        assert expected
        assert not good
        assert step.reason in ("implausible_time", "not_installed", "index_out_of_register")
        return
    assert isinstance(step, Placed)
    kept = [(s.meter_id, ts, ml) for s in step.segments for ts, ml in zip(s.ts_s, s.index_ml, strict=True)]
    assert sorted(kept) == sorted(good)
    assert step.readings == len(expected)
    assert (step.reason is None) == (len(good) == len(expected))
    assert step.identity == identity_of("1001", step.report, content)
