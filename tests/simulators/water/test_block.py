"""A block's water adds up, sleeps at night, and is the same by the week as by the hour."""

import numpy as np
import pytest

from simulators.households import Household
from simulators.local_time import DAY_S, HOUR_S
from simulators.water.block import Block, block, hourly_ml, running_on, week_ml
from simulators.water.calendar import DAYS, EPOCH_S, HOLIDAY, WEEK_S, WEEKEND, day_kinds
from simulators.water.users import BLOCK, Dwelling, UserKind, draw_users, hours_of

WEEK = 60


@pytest.fixture(scope="module")
def hourly_l():
    """Whole litres by user, day and hour of eight weeks of spring."""
    water = hourly_ml(7, 0, EPOCH_S + WEEK * WEEK_S, 8 * 168) // 1000
    return np.diff(water, axis=1).reshape(BLOCK, -1, 24)


def homes():
    users = block(7, 0).users
    return (users.kind == UserKind.HOME) & (users.dwelling == Dwelling.LIVED_IN)


def test_weeks_join_without_a_step_and_hours_with_instants():
    water = hourly_ml(7, 0, EPOCH_S + WEEK * WEEK_S - 5 * HOUR_S, 10)
    assert (np.diff(water, axis=1) >= 0).all()
    assert (water[:, 5] == block(7, 0).before_l[:, WEEK] * 1000).all()
    at_hand = [Household(7, 3, None).water_ml(EPOCH_S + WEEK * WEEK_S + hour * HOUR_S) for hour in range(-5, 6)]
    assert at_hand == water[3].tolist()


def test_it_is_the_same_whenever_it_is_drawn():
    assert (Block(7, 0).week(WEEK).ml == week_ml(7, 0, WEEK)).all()
    assert (Block(8, 0).week(WEEK).ml != week_ml(7, 0, WEEK)).any()


def test_a_cistern_that_runs_on_for_a_day_is_on_the_register_in_each_hour():
    begin_s = EPOCH_S + WEEK * WEEK_S
    water = np.diff(hourly_ml(7, 0, begin_s, 8 * 168), axis=1)
    found = running_on(7, 0, begin_s, begin_s + 8 * WEEK_S)
    assert len(found) > 20
    for one in found:
        assert 24 * HOUR_S <= one.until_s - one.from_s <= 60 * HOUR_S
        first, last = -((begin_s - one.from_s) // HOUR_S), (one.until_s - begin_s) // HOUR_S
        assert (water[one.user, first:last] >= one.rate_l_h * 1_000 - 2).all()
    cut = running_on(7, 0, found[0].from_s + DAY_S, found[0].from_s + DAY_S + 1)
    assert set(cut) == {one for one in found if one.from_s <= found[0].from_s + DAY_S < one.until_s}


def test_homes_use_a_plausible_amount(hourly_l):
    daily = hourly_l[homes()].sum(2).mean(1)
    assert 150 < daily.mean() < 350
    assert 1.5 < np.percentile(daily, 75) / np.percentile(daily, 25) < 3


def test_a_town_rises_in_the_morning_and_sleeps_at_night(hourly_l):
    by_hour = hourly_l[homes()].mean((0, 1))
    assert by_hour[2:5].max() < 0.3 * by_hour.mean()
    assert by_hour[7] > 1.3 * by_hour.mean()
    assert by_hour[20] > 1.3 * by_hour.mean()


def test_most_homes_rest_for_an_hour_every_day(hourly_l):
    rests = (hourly_l[homes()] == 0).any(2)
    assert rests.mean() > 0.96


def test_somebody_is_away_and_shops_close_at_night(hourly_l):
    assert 0.01 < (hourly_l[homes()].sum(2) == 0).mean() < 0.12
    shops = hourly_l[block(7, 0).users.kind == UserKind.SHOP]
    assert shops[:, :, 2:5].sum() < 0.02 * shops.sum()


def test_holidays_are_no_working_days_and_the_calendar_lasts_ten_years():
    kinds = day_kinds()
    assert len(kinds) == DAYS
    assert kinds[(EPOCH_S + 275 * DAY_S - EPOCH_S) // DAY_S] == HOLIDAY  # 2024-10-02
    assert kinds[5] == WEEKEND


def test_users_live_by_their_own_clock():
    users = draw_users(np.random.default_rng(1))
    shares = hours_of(users, day_off=False)
    assert np.allclose(shares.sum(2), 1)
    late, early = np.argmax(users.shift_h), np.argmin(users.shift_h)
    assert shares[0, late, 7] < shares[0, early, 7]
