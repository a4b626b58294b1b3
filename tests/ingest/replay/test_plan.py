"""The rule of a replay, against a model of what would have been stored with the right decoder from the start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.installations import Device
from ingest.placing import Placed, Segment
from ingest.replay.plan import Contradiction, Stretch, plan
from metering.envelope import Report
from metering.model import Authentication, DecodedReport, DeviceState, Door, ReadingKind

METER = 7
DEVICE = Device(1, "1001", ())


def placed(*readings: tuple[int, int]) -> Placed:
    """A report that says these (time, index) today."""
    times, indices = [ts for ts, _ in readings], [ml for _, ml in readings]
    report = Report(bytes(16), 0, Door.COAP, Authentication.CLAIMED, "1001", 60, b"", "")
    segments = (Segment(METER, times, indices, min(times), max(times)),) if times else ()
    content = DecodedReport(DeviceState(), times, indices)
    return Placed(report, "d", content, DEVICE, METER, 0, ReadingKind.HOURLY, segments)


def key(ts_s: int) -> tuple[int, int, int]:
    return (METER, ts_s, 0)


def test_the_first_report_that_holds_a_key_decides_and_the_other_is_a_conflict() -> None:
    made = plan([placed((1, 10)), placed((1, 11))], [Stretch(METER, 1, 1)] * 2, [], {key(1): 9})
    assert made.changed == {key(1): (9, 10)}
    assert made.contradictions == [Contradiction(key(1), 10, 11, 1)]


def test_what_another_report_may_have_delivered_stays() -> None:
    others = [Stretch(METER, 0, 1), Stretch(METER + 1, 0, 9)]
    made = plan([placed((1, 10), (2, 20))], [Stretch(METER, 1, 3)], others, {key(1): 9, key(2): 9, key(3): 9})
    assert made.contradictions == [Contradiction(key(1), 9, 10, 0)]
    assert made.changed == {key(2): (9, 20)}
    assert made.withdrawn == {key(3): 9}


def test_what_no_report_enclosed_stays() -> None:
    made = plan([placed((5, 10))], [Stretch(METER, 1, 2)], [], {key(5): 9, key(7): 9})
    assert made.contradictions == [Contradiction(key(5), 9, 10, 0)]
    assert not made.withdrawn
    assert made.touched == {}


Readings = st.dictionaries(st.integers(0, 20), st.integers(0, 5), min_size=1, max_size=6)


@given(st.lists(st.tuples(Readings, Readings), max_size=5))
def test_with_all_reports_read_anew_the_database_is_as_if_the_decoder_had_been_right(
    reports: list[tuple[dict[int, int], dict[int, int]]],
) -> None:
    """Each report as (what the wrong decoder read, what the right one reads)."""
    stored: dict[tuple[int, int, int], int] = {}
    right: dict[tuple[int, int, int], int] = {}
    for wrong, today in reports:
        for ts, ml in wrong.items():
            stored.setdefault(key(ts), ml)
        for ts, ml in today.items():
            right.setdefault(key(ts), ml)
    stretches = [Stretch(METER, min(wrong), max(wrong)) for wrong, _ in reports]
    made = plan([placed(*today.items()) for _, today in reports], stretches, [], dict(stored))
    for gone, ml in made.withdrawn.items():
        assert stored.pop(gone) == ml
    for changed, (old, new) in made.changed.items():
        assert stored[changed] == old != new
        stored[changed] = new
    for added, ml in made.added.items():
        assert added not in stored
        stored[added] = ml
    assert stored == right
    assert sum(made.unchanged.values()) == len(right) - len(made.added) - len(made.changed)
