"""A fault is on the register exactly as large, and as long, as the truth says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.local_time import DAY_S, HOUR_S
from simulators.water.calendar import EPOCH_S
from simulators.water.faults import RECURS_S, SHARES, Fault, FaultKind, recurring_fault, single_fault

FROM_S = EPOCH_S + 100 * DAY_S


def flat(ts_s):
    """Users who take a millilitre a second."""
    return ts_s - EPOCH_S


def effect(fault, *instants_s):
    ts = np.array(instants_s)
    return fault.on_register_ml(ts, flat(ts), flat)


@given(st.sampled_from(list(SHARES)), st.integers(0, 2**32), st.integers(1, 24 * 40))
def test_nothing_before_it_begins_and_nothing_more_after_its_end(kind, seed, hours):
    fault = single_fault(np.random.default_rng(seed), kind, FROM_S, FROM_S + 5 * DAY_S, FROM_S + 30 * DAY_S)
    end = fault.from_s + fault.lasts_s
    assert end <= FROM_S + 30 * DAY_S
    before, begin, at_end, later = effect(fault, fault.from_s - hours * HOUR_S, fault.from_s, end, end + hours * HOUR_S)
    assert before == begin == 0
    assert at_end == later
    if kind.in_the_meter:
        assert at_end < 0


@given(st.integers(0, 2**32), st.integers(0, 4 * RECURS_S), st.integers(1, RECURS_S))
def test_what_recurs_recurs_with_the_same_volume(seed, after_s, span_s):
    fault = recurring_fault(np.random.default_rng(seed))
    from_s = fault.from_s + after_s
    flowed = np.diff(effect(fault, from_s, from_s + RECURS_S))
    later = np.diff(effect(fault, from_s + 2 * RECURS_S, from_s + 3 * RECURS_S))
    assert abs(flowed - later) <= 2
    steps = effect(fault, *range(from_s, from_s + span_s, max(1, span_s // 50)))
    if fault.rate_l_h > 0:
        assert (np.diff(steps) >= 0).all()


def test_a_cyclic_leak_rests_and_a_growing_one_grows():
    cyclic = Fault(FaultKind.CYCLIC, FROM_S, 30 * HOUR_S, 10.0, on_s=2 * HOUR_S, off_s=3 * HOUR_S)
    hourly = np.diff(effect(cyclic, *range(FROM_S, FROM_S + 11 * HOUR_S, HOUR_S)))
    assert hourly.tolist() == [10_000, 10_000, 0, 0, 0] * 2
    growing = Fault(FaultKind.GROWING, FROM_S, 10 * DAY_S, 48.0, grows_s=2 * DAY_S)
    hourly = np.diff(effect(growing, *range(FROM_S, FROM_S + 3 * DAY_S, HOUR_S)))
    assert hourly[:48].tolist() == [500 + 1_000 * hour for hour in range(48)]
    assert set(hourly[48:].tolist()) == {48_000}


@pytest.mark.parametrize(("kind", "counted"), [(FaultKind.STUCK, 0.0), (FaultKind.UNDER, 0.5), (FaultKind.GUESTS, 1.8)])
def test_a_register_counts_its_share(kind, counted):
    fault = Fault(kind, FROM_S, DAY_S, counted=counted)
    middle, end = effect(fault, FROM_S + DAY_S // 2, FROM_S + 2 * DAY_S).tolist()
    assert abs(middle - (counted - 1) * DAY_S / 2) <= 1
    assert abs(end - (counted - 1) * DAY_S) <= 1


def test_a_recurring_fault_is_active_in_its_spells_only():
    fault = Fault(FaultKind.DRIP, FROM_S, DAY_S, 3.0, every_s=RECURS_S)
    spells = list(fault.spells(FROM_S + RECURS_S - 5, FROM_S + 3 * RECURS_S))
    assert [begin for begin, _ in spells] == [FROM_S + RECURS_S, FROM_S + 2 * RECURS_S]
    assert fault.active(FROM_S + RECURS_S)
    assert not fault.active(FROM_S + RECURS_S - 1)
    assert not fault.active(FROM_S - 1)
