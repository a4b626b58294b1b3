from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.batcher import Batcher
from metering.envelope import MAX_BATCH_BYTES, Report, encode
from metering.model import Authentication, Door


def report(size: int = 100, number: int = 0) -> Report:
    return Report(
        number.to_bytes(16, "big"), 1_700_000_000_000_000, Door.COAP, Authentication.CLAIMED,
        "861234567890123", 60, b"\xff" * size, "[2001:db8::1234:5678]:65535",
    )  # fmt: skip


def test_a_batch_is_due_after_its_age() -> None:
    batcher = Batcher(0.004)
    assert batcher.due_at() is None
    assert batcher.add(0, report(), 10.0)
    assert not batcher.add(0, report(), 10.003)
    assert batcher.due(10.0039) is None
    batch = batcher.due(10.004)
    assert batch is not None
    assert len(batch.reports) == 2
    assert batcher.due(99.0) is None
    assert batcher.reports == 0


def test_a_full_batch_is_due_at_once() -> None:
    batcher = Batcher(1000.0, max_bytes=1000)
    changes = [batcher.add(0, report(200), 0.0) for _ in range(4)]
    assert changes == [True, False, False, True]
    batch = batcher.due(0.0)
    assert batch is not None
    assert len(batch.reports) == 3
    assert batcher.due(0.0) is None
    assert batcher.drain() is not None
    assert batcher.drain() is None


def test_partitions_never_share_a_batch() -> None:
    batcher = Batcher(1.0)
    for number in range(6):
        batcher.add(number % 3, report(number=number), float(number))
    batches = [batcher.drain() for _ in range(3)]
    assert [batch.partition for batch in batches if batch] == [0, 1, 2]


@given(st.lists(st.integers(0, 65_000), min_size=1, max_size=60))
def test_no_batch_outgrows_its_bound_and_none_is_lost(sizes: list[int]) -> None:
    batcher = Batcher(1.0)
    for number, size in enumerate(sizes):
        batcher.add(0, report(size, number), 0.0)
    seen = []
    while batch := batcher.drain():
        assert len(encode(batch.reports)) <= MAX_BATCH_BYTES
        seen += [int.from_bytes(each.report_id, "big") for each in batch.reports]
    assert seen == list(range(len(sizes)))


def test_a_batch_says_what_closed_it() -> None:
    batcher = Batcher(max_age_s=0.004, max_bytes=2000)
    assert batcher.opened_at is None
    batcher.add(0, report(1500), now=1.0)
    batcher.add(0, report(1500), now=1.001)
    assert batcher.opened_at == 1.0
    closed = []
    for now in (1.002, 1.005):
        batch = batcher.due(now)
        assert batch is not None
        closed.append(batch.closed_by)
    batcher.add(0, report(1), now=2.0)
    late = batcher.due(3.0)
    assert late is not None
    batcher.add(0, report(1), now=4.0)
    last = batcher.drain()
    assert last is not None
    assert [*closed, late.closed_by, last.closed_by] == ["bytes", "age", "busy", "drain"]
