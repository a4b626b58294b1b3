"""The detector day by day: states of meters in, faults out."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.leaks.detector import leak_rate, look, shares
from ingest.leaks.events import Event, Kind, Phase
from ingest.leaks.faults import AWAY_PRIOR_D, SINGLE_HOURS, absence, compared
from ingest.leaks.grid import flow_grid
from ingest.leaks.habits import CYCLIC, DAY_H, HOUSEHOLD_Q3_L_H, PAST_DAYS, TESTS, States, unknown_meters
from metering.leak_settings import LeakSettings
from tests.ingest.leaks import homes

SETTINGS = LeakSettings()
LEAK_DAY, OVER_DAY = 35, 50


@pytest.fixture(scope="module")
def days() -> tuple[np.ndarray, list[Event]]:
    """The flow of two homes, and what was found; one leaks from LEAK_DAY to OVER_DAY."""
    flow = homes.flows(2).astype(np.float32)
    flow[0, LEAK_DAY * DAY_H : OVER_DAY * DAY_H] += 10
    states, events = unknown_meters(2, 0), []
    for day in range(homes.DAYS):
        outcome = look(states, flow[:, day * DAY_H : (day + 1) * DAY_H], day % 7 >= 5, SETTINGS)
        states, events = outcome.states, events + outcome.events
    return flow, events


def test_a_leak_is_suspected_confirmed_and_cleared(days: tuple[np.ndarray, list[Event]]) -> None:
    _, events = days
    assert [(event.meter, event.kind, event.phase) for event in events] == [
        (0, Kind.LEAK, Phase.SUSPECTED), (0, Kind.LEAK, Phase.CONFIRMED), (0, Kind.LEAK, Phase.CLEARED)
    ]  # fmt: skip
    suspected, confirmed, cleared = events
    assert LEAK_DAY * DAY_H + SETTINGS.least_hours <= suspected.at_h + 1 <= (LEAK_DAY + 3) * DAY_H
    assert suspected.at_h < confirmed.at_h < OVER_DAY * DAY_H <= cleared.at_h < (OVER_DAY + 10) * DAY_H
    assert confirmed.rate_l_h == pytest.approx(10, rel=0.1)
    assert confirmed.interval_l_h is not None
    assert confirmed.interval_l_h[0] <= 10 <= confirmed.interval_l_h[1]


@pytest.mark.parametrize("hours", [1, 7, 23])
def test_part_of_a_day_says_what_the_whole_day_will(days: tuple[np.ndarray, list[Event]], hours: int) -> None:
    flow, events = days
    raised = events[0].at_h // DAY_H
    states = unknown_meters(2, 0)
    for day in range(raised):
        states = look(states, flow[:, day * DAY_H : (day + 1) * DAY_H], day % 7 >= 5, SETTINGS).states
    before = states.tobytes()
    today = flow[:, raised * DAY_H : (raised + 1) * DAY_H]
    part = look(states, today[:, :hours], raised % 7 >= 5, SETTINGS)
    whole = look(states, today, raised % 7 >= 5, SETTINGS)
    assert part.events == [event for event in whole.events if event.at_h < raised * DAY_H + hours]
    assert states.tobytes() == before


def test_unknown_hours_neither_raise_nor_cancel(days: tuple[np.ndarray, list[Event]]) -> None:
    flow, _ = days
    states = unknown_meters(2, 0)
    for day in range(LEAK_DAY + 5):
        states = look(states, flow[:, day * DAY_H : (day + 1) * DAY_H], day % 7 >= 5, SETTINGS).states
    nothing = np.full((2, DAY_H), np.nan, np.float32)
    outcome = look(states, nothing, False, SETTINGS)
    assert outcome.events == []
    assert (outcome.states["evidence"] == states["evidence"]).all()
    assert outcome.states["leak_h"][0] >= 0 > outcome.states["leak_h"][1]


def test_rates() -> None:
    steady = np.array([5, 6, 5, 40, 5, 80, 5, 6, 5, 5, 90, 5], np.float32)
    rate, interval = leak_rate(steady, cyclic=False, level=3)
    assert rate == pytest.approx(5)
    assert interval is not None
    assert interval[0] <= 5 <= interval[1] <= 6
    comes_and_goes = np.array([0, 20, 0, 0, 20, 0, 20, 0, 0, 21], np.float32)
    assert leak_rate(comes_and_goes, cyclic=True, level=4)[0] == pytest.approx(20)
    drip = np.array([0, 1, 0, 1, 0, 1, 1, 0, 30, 0], np.float32)
    assert leak_rate(drip, cyclic=False, level=SINGLE_HOURS + 1)[0] == pytest.approx(0)
    assert leak_rate(np.zeros(3, np.float32), cyclic=True, level=4) == (None, None)
    assert CYCLIC > 0


def looked_at(flow: np.ndarray, q3_l_h: int = HOUSEHOLD_Q3_L_H) -> tuple[States, list[Event]]:
    states, events = unknown_meters(len(flow), 0, q3_l_h), list[Event]()
    for day in range(flow.shape[1] // DAY_H):
        today = flow[:, day * DAY_H : (day + 1) * DAY_H].astype(np.float32)
        outcome = look(states, today, day % 7 >= 5, SETTINGS)
        states, events = outcome.states, events + outcome.events
    return states, events


def test_levels_are_in_proportion_to_the_meters_size() -> None:
    """A hotel with forty times a home's water behind a meter for forty times as much is as quiet as the home."""
    flow = homes.flows(1)
    flow[0, LEAK_DAY * DAY_H : OVER_DAY * DAY_H] += 10
    _, of_home = looked_at(flow)
    _, of_hotel = looked_at(40 * flow, 40 * HOUSEHOLD_Q3_L_H)
    assert [event[:5] for event in of_hotel] == [event[:5] for event in of_home]
    assert of_home[0].rate_l_h is not None
    assert of_hotel[0].rate_l_h == pytest.approx(40 * of_home[0].rate_l_h)


def test_a_meter_counts_too_little_when_all_sizes_of_flow_have_shrunk() -> None:
    flow = homes.flows(3, seed=3)
    begin = LEAK_DAY * DAY_H
    flow[0, begin:] = np.floor(0.35 * flow[0, begin:])  # the meter
    flow[1, begin:] = np.minimum(flow[1, begin:], np.quantile(flow[1, flow[1] > 0], 0.6))  # no more baths
    _, events = looked_at(flow)
    assert [(event.meter, event.kind) for event in events] == [(0, Kind.UNDER)]


def test_sizes_that_shrink_unevenly_are_other_habits() -> None:
    flow = homes.flows(2, seed=3)
    later = flow[:, LEAK_DAY * DAY_H :]
    later[0] = np.floor(0.5 * later[0])
    later[1] = np.minimum(np.ceil(0.5 * later[1]), 9)  # fewer people, no more baths
    _, events = looked_at(flow)
    assert {(event.meter, event.kind) for event in events} == {(0, Kind.UNDER)}


def test_the_less_a_meter_counts_the_sooner_it_is_said() -> None:
    flow = homes.flows(2, seed=3)
    later = flow[:, LEAK_DAY * DAY_H :]
    later[0], later[1] = np.floor(0.3 * later[0]), np.floor(0.55 * later[1])
    _, events = looked_at(flow)
    raised = [event for event in events if event.phase is Phase.SUSPECTED]
    assert [(event.meter, event.kind) for event in raised] == [(0, Kind.UNDER), (1, Kind.UNDER)]
    days = []
    for event in raised:
        states, _ = looked_at(flow[:, : event.at_h + 1])
        share = compared(states, SETTINGS)
        step = np.log(SETTINGS.under_share / (share.now / share.usual).max(axis=1))[event.meter]
        days.append(states["less"][event.meter] / step)
        assert states["less"][event.meter] >= SETTINGS.under_evidence
    assert 1 <= days[0] < days[1]


def test_the_more_often_people_are_away_the_longer_a_meter_must_stand_still() -> None:
    flow = homes.flows(3, seed=5)
    begin = LEAK_DAY * DAY_H
    flow[1, :begin][np.arange(begin) // DAY_H % 7 < 3] = 0  # there at weekends
    flow[2] = 0  # nobody ever was
    flow[:, begin:] = 0
    _, events = looked_at(flow)
    assert [(event.meter, event.kind) for event in events] == [(0, Kind.STUCK), (1, Kind.STUCK)]
    at_home, at_weekends = events
    assert begin - 9 <= at_home.began_h <= begin
    known = np.log((PAST_DAYS + AWAY_PRIOR_D) / (LEAK_DAY - 1 + AWAY_PRIOR_D))
    least_h = DAY_H * (SETTINGS.stuck_days + SETTINGS.stuck_away_days * known)
    assert least_h <= at_home.at_h + 1 - at_home.began_h <= least_h + 1
    more_h = DAY_H * SETTINGS.stuck_away_days * np.log(1 + LEAK_DAY / 7)
    assert at_weekends.at_h - at_weekends.began_h == pytest.approx(least_h + more_h, abs=DAY_H)


def test_absences_are_counted_before_the_stillness_in_hand() -> None:
    states = unknown_meters(3, 0)
    states["active"] = 12
    states["active"][0, -5:] = 0  # stands still since the sixth last day
    states["active"][1, [3, 4, 20, 21, 22]] = 0, 2, 0, np.nan, 1
    states["active"][2, : PAST_DAYS // 2] = np.nan
    limit_h, lived_in, times = absence(states, SETTINGS)
    assert times.tolist() == [0, 3, 0]
    prior = PAST_DAYS + AWAY_PRIOR_D
    often = [prior / (prior - 6), 4 * prior / (prior - 2), prior / (PAST_DAYS // 2 - 1 + AWAY_PRIOR_D)]
    expected_d = SETTINGS.stuck_days + SETTINGS.stuck_away_days * np.log(often)
    np.testing.assert_allclose(limit_h, DAY_H * expected_d, rtol=1e-5)
    assert lived_in.all()


def test_the_grid_of_hours() -> None:
    q4 = np.array([3_125_000, 3_125_000])
    hour = 3_600
    meter = np.array([0, 0, 0, 0, 1, 1, 1])
    ts_s = np.array([0, hour, 2 * hour, 5 * hour, 0, 4 * hour, 5 * hour])
    index_ml = np.array([0, 3_000, 2_000, 2_000, 0, 8_000, 10**9])
    grid = flow_grid(meter, ts_s, index_ml, q4, 0, 6)
    nan = np.nan
    # A step belongs to the hour of its end; what ran back is negative; a long step without water is rest in every hour;
    # when the water of a long step flowed nobody knows; a step beyond twice Q4 is none.
    np.testing.assert_array_equal(grid, [[nan, 3, -1, 0, 0, 0], [nan, nan, nan, nan, nan, nan]])


def test_a_home_that_never_came_near_needs_less_evidence() -> None:
    states = unknown_meters(4, 0)
    usual = np.array([test.needed for test in TESTS])
    states["evidence"] = usual
    states["highest"][1, 0] = 0.4 * usual[0]
    states["highest"][2, 0] = 1.0 * usual[0]
    states["highest"][3, 0] = 2.0 * usual[0]
    times = 1 / shares(states, SETTINGS)
    np.testing.assert_allclose(times[0], SETTINGS.evidence_calm, rtol=1e-5)
    np.testing.assert_allclose(times[1], 3 * 0.4, rtol=1e-5)
    np.testing.assert_allclose(times[2], SETTINGS.evidence, rtol=1e-5)
    np.testing.assert_allclose(times[3, 1:], SETTINGS.evidence, rtol=1e-5)
    assert times[3, 0] == pytest.approx(2.0 * SETTINGS.own_highest)


def test_days_of_a_slow_leak_cannot_raise_what_it_needs_without_end() -> None:
    """Days below `learn_below` of the need are learned as the home's highest: `own_highest` times it stays below."""
    assert SETTINGS.own_highest * SETTINGS.learn_below < 1
