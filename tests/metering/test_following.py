"""Every stage follows the same reports."""

from __future__ import annotations

from metering.envelope import Report, mint_report_id
from metering.following import Pace, followed
from metering.model import Authentication, Door


def reports(number: int) -> list[Report]:
    return [Report(mint_report_id(n), n, Door.COAP, Authentication.CLAIMED, "d", 60, b"", "") for n in range(number)]


def test_about_one_in_so_many_and_always_the_same() -> None:
    some = reports(20_000)
    chosen = followed(some, 16)
    assert 800 < len(chosen) < 1_700
    assert followed(reversed(some), 16) == chosen[::-1]
    assert followed(some, 1) == some
    assert followed(some, 0) == []


def test_a_pace_lets_one_line_through_at_a_time() -> None:
    pace = Pace(1.0)
    assert [pace.allows(at) for at in (5.0, 5.5, 5.99, 6.0, 6.5, 9.0)] == [True, False, False, True, False, True]
