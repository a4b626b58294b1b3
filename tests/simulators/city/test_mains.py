"""What flows into districts of a town that lives on, as their bulk meters show it."""

import cbor2
import numpy as np
import pytest

from metering.zones.rows import parse_flows, parse_geojson
from simulators.city.mains import INLETS, LEAK_DAYS, leak_events, mains
from simulators.city.zones import piping
from simulators.local_time import DAY_S, HOUR_S
from simulators.payloads import MAX_DATAGRAM_PAYLOAD
from simulators.town_plan import INLET_ZONES, make_meters
from simulators.water.calendar import EPOCH_S
from simulators.water.faults import RECURS_S

FROM_S = EPOCH_S + 60 * 7 * DAY_S
METERS = make_meters(1, 160)
MAINS = mains(1, METERS)


def litres(meter, from_s, until_s, step_s=HOUR_S):
    return np.diff([meter.household.index_l(ts) for ts in range(from_s, until_s + 1, step_s)])


def registers(zone, ts_s):
    """What its users really drew, in litres."""
    users = [meter.household for meter in METERS if meter.label.zone == zone]
    own = sum(user.water_ml(ts_s) for user in users)
    leaks = sum(
        int(user.fault.added_ml(np.array([ts_s]))[0])
        for user in users
        if user.fault and not user.fault.kind.in_the_meter
    )
    return (own + leaks) / 1_000


def test_a_district_takes_in_what_its_users_draw_background_losses_and_leaks():
    for district in MAINS.districts:
        (begin, end), *_ = district.leak.spells(FROM_S, FROM_S + RECURS_S)
        quiet_s = end + DAY_S
        days = [(quiet_s, 0.0), (begin + 8 * DAY_S, district.leak.rate_l_h)]
        for from_s, leaking_l_h in days:
            drawn = registers(district.zone, from_s + DAY_S) - registers(district.zone, from_s)
            lost = district.litres_upto(from_s + DAY_S) - district.litres_upto(from_s) - drawn
            assert lost / 24 == pytest.approx(district.background_l_h + leaking_l_h, rel=0.02)
        assert end - begin == LEAK_DAYS * DAY_S


def test_bulk_meters_never_run_back_and_quarters_sum_to_hours():
    for meter in MAINS.meters:
        quarters = litres(meter, FROM_S, FROM_S + 8 * DAY_S, 900)
        assert quarters.min() >= 0
        assert quarters.reshape(-1, 4).sum(1).tolist() == litres(meter, FROM_S, FROM_S + 8 * DAY_S).tolist()


def test_the_outlet_of_one_is_the_inlet_of_the_next_and_two_inlets_share():
    first, through, north, south, _ = MAINS.meters
    upper, lower, third, _ = MAINS.districts

    def taken(district):
        return district.litres_upto(FROM_S + DAY_S) - district.litres_upto(FROM_S)

    sums = {meter: litres(meter, FROM_S, FROM_S + DAY_S).sum() for meter in (first, through, north, south)}
    assert sums[through] == pytest.approx(taken(lower), rel=0.01)
    assert sums[first] - sums[through] == pytest.approx(taken(upper), rel=0.02)
    assert sums[north] + sums[south] == pytest.approx(taken(third), rel=0.01)
    assert sums[north] == pytest.approx(0.6 * taken(third), rel=0.01)


def test_a_bulk_meter_tells_quarters_of_an_hour_in_one_datagram():
    meter = MAINS.meters[0]
    daily = meter.daily(FROM_S + 3_600)
    assert len(daily.payload) < MAX_DATAGRAM_PAYLOAD
    ((_, interval_s, _, deltas),) = cbor2.loads(daily.payload)[2]
    assert (interval_s, len(deltas)) == (900, 2 * 96 - 1)
    assert len(meter.since(FROM_S - 30 * DAY_S, FROM_S + 7).payload) < MAX_DATAGRAM_PAYLOAD


def test_in_any_week_a_main_begins_to_leak_and_the_truth_says_so():
    for week in range(8):
        from_s = FROM_S + week * 7 * DAY_S
        assert leak_events(MAINS, from_s - LEAK_DAYS * DAY_S, from_s + 7 * DAY_S)
    events = leak_events(MAINS, FROM_S, FROM_S + RECURS_S)
    assert {event["dma"] for event in events} == set(INLET_ZONES)
    for event in events:
        assert set(event) == {"dma", "type", "start", "end", "rate_m3h", "vol_m3", "frac_mean"}
        assert 0 < event["vol_m3"] <= event["rate_m3h"] * 24 * LEAK_DAYS + 1e-6


def test_users_of_districts_with_an_inlet_tell_their_hours():
    within = [meter for meter in METERS if meter.label.zone in INLET_ZONES]
    assert all(meter.obeys and meter.label.imei for meter in within)
    assert not all(meter.obeys for meter in METERS)


def test_files_are_such_as_operators_import():
    files = piping(MAINS, METERS)
    zones = {zone.code: zone for zone in parse_geojson(files.zones).zones}
    assert {meter.label.zone for meter in METERS} <= zones.keys()
    assert zones["LS-DMA01"].parent == "LS"
    assert zones["LS"].parent == "HLD"
    assert zones["LS-DMA01"].connections == len(MAINS.districts[0].users)
    flows = parse_flows(files.flows, None)
    assert len(flows) == sum(len(counts) for *_, counts in INLETS)
    assert {flow.meter for flow in flows} == {meter.label.serial for meter in files.meters}


def test_a_small_town_has_no_inlets():
    few = make_meters(1, 5)
    assert mains(1, few) == ([], [])
    assert piping(mains(1, few), few).flows == b""
