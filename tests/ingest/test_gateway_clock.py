"""A gateway whose clock is behind, told from meters that are ahead and from reports that waited in a gateway."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.classify import Message, Prepared, prepare
from ingest.device_clock import TOLERANCE_S, correction
from ingest.gateway_clock import SECOND_US, Witness, is_behind
from ingest.installations import Device, Installation
from ingest.placing import Placed, place_report
from metering import envelope
from metering.envelope import Report
from metering.model import EARLIEST_S, Authentication, ContentFormat, Door
from tests.integration.ingest_town import native

STORED_S = 1_790_000_000
STORED_US = STORED_S * SECOND_US
HOUR_S = 3_600
DAY_S = 86_400
any_clock = st.none() | st.integers(0, 2 * STORED_S)
witnesses = st.builds(Witness, st.integers(0, STORED_US), any_clock, st.booleans())
spans = st.integers(TOLERANCE_S + 1, 30 * DAY_S)


def behind(said: list[Witness]) -> bool:
    return is_behind(said, max((one.received_us for one in said), default=STORED_US), STORED_US)


def taken(received_s: int, clock_s: int | None, sent_then: bool = True) -> Witness:
    return Witness(received_s * SECOND_US, clock_s, sent_then)


@given(st.lists(witnesses, min_size=1, max_size=12))
def test_what_is_mended_stays(said: list[Witness]) -> None:
    if behind(said):
        by_us = STORED_US - max(one.received_us for one in said)
        assert not behind([one._replace(received_us=one.received_us + by_us) for one in said])


@given(st.lists(st.tuples(st.integers(0, TOLERANCE_S), any_clock, st.booleans()), max_size=12))
def test_who_is_stored_at_once_is_never_doubted(said: list[tuple[int, int | None, bool]]) -> None:
    assert not behind([taken(STORED_S - ago_s, *rest) for ago_s, *rest in said])


@given(
    spans,
    st.lists(st.tuples(st.integers(-HOUR_S, 0), st.integers(-5 * DAY_S, TOLERANCE_S)), min_size=1, max_size=10),
    st.data(),
)
def test_what_waited_in_a_gateway_keeps_its_time(
    waited_s: int, right: list[tuple[int, int]], data: st.DataObject
) -> None:
    """However long, and whatever a smaller number of devices says."""
    newest_s = STORED_S - waited_s
    said = [taken(newest_s + ago_s, newest_s + ago_s + lead_s) for ago_s, lead_s in right]
    said += data.draw(st.lists(st.builds(taken, st.just(newest_s), any_clock), max_size=len(right)))
    assert not behind(data.draw(st.permutations(said)))


@given(
    st.integers(2 * TOLERANCE_S + 1, 30 * DAY_S),
    st.lists(st.integers(-TOLERANCE_S, TOLERANCE_S), min_size=1, max_size=10),
    st.data(),
)
def test_a_gateway_that_is_behind_is_known_by_most_of_its_meters(
    by_s: int, errors_s: list[int], data: st.DataObject
) -> None:
    """And then none of those that are right looks ahead."""
    said = [taken(STORED_S - by_s, STORED_S + error_s, data.draw(st.booleans())) for error_s in errors_s]
    others = st.builds(taken, st.just(STORED_S - by_s), any_clock)
    said += data.draw(st.lists(others, max_size=len(errors_s) - 1))
    assert behind(data.draw(st.permutations(said)))


def test_readings_of_an_earlier_hour_do_not_speak_against_it() -> None:
    old, live = taken(STORED_S - HOUR_S, STORED_S - 2 * HOUR_S, False), taken(STORED_S - HOUR_S, STORED_S - 60, False)
    assert behind([old, old, live])
    assert not behind([old, old])
    unset = taken(STORED_S - HOUR_S, EARLIEST_S - 1)
    assert behind([unset, unset, live])


DEVICE = Device(1, "1001", (Installation(10, "1001", 10**12, EARLIEST_S, 2**40),))


def through(gateway_s: int, clocks_s: list[int], payloads: tuple[bytes, ...] = ()) -> Prepared:
    """Reports of the last hours by the devices' clocks, through a gateway by whose clock it is `gateway_s`."""
    bodies = [native(n, clock_s - HOUR_S, [100, 110], k11=clock_s) for n, clock_s in enumerate(clocks_s)]
    reports = [
        Report(n.to_bytes(16, "big"), gateway_s * SECOND_US, Door.COAP, Authentication.CLAIMED, "1001",
               ContentFormat.CBOR, payload, "")
        for n, payload in enumerate([*bodies, *payloads])
    ]  # fmt: skip
    return prepare([Message(7, STORED_US, envelope.encode(reports))])


def newest_s(prepared: Prepared) -> list[int]:
    """The time of the newest reading of each report, where it is placed."""
    placed = [place_report(decoded, DEVICE, False) for decoded in prepared.decoded]
    return [step.segments[0].last_s for step in placed if isinstance(step, Placed)]


@pytest.mark.parametrize("by_s", [0, HOUR_S, 3 * DAY_S])
def test_times_of_right_meters_stay_right_whatever_the_gateways_clock(by_s: int) -> None:
    prepared = through(STORED_S - by_s, [STORED_S - 3, STORED_S + 9, STORED_S + 2 * HOUR_S], (b"no report",))
    assert newest_s(prepared) == [STORED_S - 3, STORED_S + 9, STORED_S]  # the third is two hours ahead
    steps = [*prepared.decoded, *prepared.refused]
    assert [step.report.received_at_us for step in steps] == [STORED_US] * 4
    assert prepared.dated_anew == (4 if by_s else 0)
    assert set(prepared.sequences.values()) == {7}


def test_a_lone_meter_is_believed_only_together_with_the_stream() -> None:
    assert newest_s(through(STORED_S - HOUR_S, [STORED_S + 5])) == [STORED_S + 5]
    assert newest_s(through(STORED_S, [STORED_S + HOUR_S])) == [STORED_S]
    ahead_of_both = through(STORED_S - HOUR_S, [STORED_S + HOUR_S])
    assert newest_s(ahead_of_both) == [STORED_S - HOUR_S]
    assert ahead_of_both.dated_anew == 0


def test_what_waited_in_the_spool_was_received_when_it_was_received() -> None:
    received_s = STORED_S - 6 * HOUR_S
    prepared = through(received_s, [received_s - 4, received_s - DAY_S, received_s + HOUR_S])
    assert [decoded.report.received_at_us for decoded in prepared.decoded] == [received_s * SECOND_US] * 3
    assert newest_s(prepared) == [received_s - 4, received_s - DAY_S, received_s]
    content = prepared.decoded[2].content
    assert correction(content, received_s + HOUR_S, received_s) == (-HOUR_S, "ahead")


def test_reports_stay_in_the_order_in_which_they_came() -> None:
    """Whichever waited, whichever is dated anew: of two that are alike the first is stored, the second a repeat."""
    gateways_s = [STORED_S - 2 * HOUR_S, STORED_S, STORED_S - HOUR_S, STORED_S - HOUR_S]
    clocks_s = [STORED_S - 2 * HOUR_S, STORED_S, STORED_S, STORED_S]
    messages = []
    for n, (gateway_s, clock_s) in enumerate(zip(gateways_s, clocks_s, strict=True)):
        payload = native(n, clock_s - HOUR_S, [100, 110], k11=clock_s)
        report = Report(
            n.to_bytes(16, "big"), gateway_s * SECOND_US, Door.COAP, Authentication.CLAIMED, "1001", ContentFormat.CBOR,
            payload, "",
        )  # fmt: skip
        messages.append(Message(n, STORED_US, envelope.encode([report])))
    prepared = prepare(messages)
    assert [int.from_bytes(decoded.report.report_id, "big") for decoded in prepared.decoded] == [0, 1, 2, 3]
    received_s = [decoded.report.received_at_us // SECOND_US for decoded in prepared.decoded]
    assert received_s == [STORED_S - 2 * HOUR_S, STORED_S, STORED_S, STORED_S]
    assert prepared.dated_anew == 2
