"""The plain histogram says the same as prometheus_client's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from metering.distribution import Distribution

BOUNDS = (1, 5, 10, 256)


@given(st.lists(st.integers(0, 300)))
def test_it_counts_as_the_library_does(values: list[int]) -> None:
    ours = Distribution(BOUNDS)
    theirs = Histogram("turn", "text", buckets=BOUNDS, registry=CollectorRegistry())
    for value in values:
        ours.observe(value)
        theirs.observe(value)
    assert ours.count == len(values)
    (expected,) = theirs.collect()
    wanted = [(s.name, s.labels, s.value) for s in expected.samples if not s.name.endswith("_created")]
    found = [(s.name, s.labels, s.value) for s in ours.family("turn", "text").samples]
    assert sorted(found, key=str) == sorted(wanted, key=str)
