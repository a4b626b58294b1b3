"""Hours of the day weigh by what they tell together of a flow that is the same at all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.districts.hour_weights import LEAST_DAYS, hour_weights


def weights_of(past, floor=0.01):
    known = np.where(np.isfinite(past).any(axis=1, keepdims=True), past, 0.0)
    spread = 1.4826 * np.nanmedian(np.abs(known), axis=1)
    return hour_weights(past, spread, np.full(len(past), floor))


def test_independent_hours_weigh_by_their_variance():
    past = np.random.default_rng(1).normal(0, [1.0, 2.0], (1, 2_000, 2))
    night, day = weights_of(past)[0]
    assert night / day == pytest.approx(4, rel=0.15)


def test_hours_that_err_together_share_what_they_tell():
    rng = np.random.default_rng(2)
    common = rng.normal(0, 1, (1, 2_000, 1))
    past = np.concatenate((np.repeat(common, 3, axis=2), rng.normal(0, 1, (1, 2_000, 1))), axis=2)
    *together, alone = weights_of(past)[0]
    assert sum(together) == pytest.approx(alone, rel=0.25)


def test_what_would_count_against_the_others_is_left_out():
    rng = np.random.default_rng(3)
    quiet = rng.normal(0, 1, (1, 2_000, 1))
    past = np.concatenate((quiet, 3 * quiet + rng.normal(0, 0.5, (1, 2_000, 1))), axis=2)
    night, day = weights_of(past)[0]
    assert (night > 0, day) == (True, 0)


def test_a_constant_is_known_better_than_by_the_quietest_hour_alone():
    rng = np.random.default_rng(4)
    past = rng.normal(0, 1, (1, 500, 6)) + rng.normal(0, 0.5, (1, 500, 1))
    weight = weights_of(past)[0]
    estimate = past[0] @ weight / weight.sum()
    assert estimate.std() < 0.75 * past[0].std(axis=0).min()


def test_of_too_few_days_nothing_is_said():
    past = np.random.default_rng(5).normal(0, 1, (3, LEAST_DAYS + 2, 4))
    past[0, :3, 0] = np.nan
    past[2] = np.nan
    found = weights_of(past)
    assert np.isfinite(found).all(axis=1).tolist() == [False, True, False]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 24), st.integers(LEAST_DAYS, 60), st.floats(0, 1))
def test_weights_are_never_negative_and_never_all_nothing(seed, hours, days, shared):
    rng = np.random.default_rng(seed)
    past = rng.standard_t(2, (2, days, hours)) + shared * rng.standard_t(2, (2, days, 1))
    found = weights_of(past)
    assert (found >= 0).all()
    assert (found.sum(axis=1) > 0).all()
