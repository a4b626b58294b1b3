"""The search for reports that cannot be written, against an attempt that fails on known ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.classify import Decoded, Prepared, Refused
from ingest.poison import isolate
from metering.envelope import Report
from metering.model import Authentication, DecodedReport, DeviceState, Door


def decoded(number: int) -> Decoded:
    report = Report(number.to_bytes(16, "big"), 0, Door.COAP, Authentication.CLAIMED, str(number), 60, b"", "")
    return Decoded(report, "a decoder", DecodedReport(DeviceState(), [], []), None)


@given(st.integers(0, 40), st.sets(st.integers(0, 39)))
async def test_exactly_the_poisoned_are_refused(count: int, poisoned: set[int]) -> None:
    earlier = Refused(decoded(99).report, "unknown_device", "refused before")
    attempts = 0

    async def attempt(prepared: Prepared) -> Exception | None:
        nonlocal attempts
        attempts += 1
        found = sorted(poisoned & {int(one.report.device) for one in prepared.decoded})
        return ValueError(f"cannot write {found[0]}") if found else None

    left = await isolate(Prepared([decoded(number) for number in range(count)], [earlier], []), attempt)
    wanted = [number for number in range(count) if number in poisoned]
    assert [int(one.report.device) for one in left.decoded] == [n for n in range(count) if n not in poisoned]
    assert left.refused[0] is earlier
    assert [(int(one.report.device), one.reason, one.message) for one in left.refused[1:]] == [
        (number, "write_error", f"ValueError: cannot write {number}") for number in wanted
    ]
    assert attempts <= 1 + 2 * len(wanted) * 7
