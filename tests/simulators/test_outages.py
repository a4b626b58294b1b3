"""Cells fail now and then, and the same whenever one asks; clocks that nobody sets fall behind."""

import cbor2
import numpy as np

from simulators.clocks import MAX_BEHIND_S, Clock, never_set
from simulators.local_time import DAY_S, HOUR_S
from simulators.meter import Wire
from simulators.outages import FLUSH_S, LONGEST_S, back_at, flush_s, outages
from simulators.payloads import KEYS
from simulators.town_history import history
from simulators.town_plan import Quirk, make_meters
from simulators.water.calendar import EPOCH_S, WEEK_S

YEAR_S = 52 * WEEK_S


def test_outages_are_rare_short_and_the_same_in_any_span():
    found = [one for cell in range(50) for one in outages(1, cell, EPOCH_S, EPOCH_S + YEAR_S)]
    assert 150 < len(found) < 500
    assert HOUR_S < np.median([end - begin for begin, end in found]) < 6 * HOUR_S
    assert max(end - begin for begin, end in found) <= LONGEST_S
    begin, end = found[0]
    assert back_at(1, 0, begin) == back_at(1, 0, (begin + end) // 2) == end
    assert back_at(1, 0, end) is None
    assert outages(1, 0, begin + 1, begin + 2) == [(begin, end)]


def test_a_backlog_is_flushed_after_the_outage_unless_it_is_forgotten():
    meters = [meter for meter in make_meters(3, 400) if not meter.silent]
    sent = history(meters, 120, EPOCH_S + YEAR_S)
    late = [one for one in sent if one.arrives_s > one.due_s]
    assert late
    for one in late:
        back_s = back_at(3, one.meter.radio.cell_id, one.due_s)
        assert back_s is not None
        assert back_s <= one.arrives_s < back_s + FLUSH_S
        assert one.meter.quirk is not Quirk.FORGETS
    kept = {one.due_s for one in sent if one.meter.quirk is Quirk.FORGETS}
    assert all(back_at(3, one.meter.radio.cell_id, one.due_s) is None for one in sent if one.due_s in kept)
    assert len({flush_s(number) for number in range(500)}) > 300


def test_a_clock_that_nobody_sets_falls_behind_and_one_that_is_set_does_not():
    assert Clock().behind_s(EPOCH_S + 9 * YEAR_S) == 0
    slow = never_set(np.random.default_rng(1))
    assert 0 < slow.behind_s(EPOCH_S + 30 * DAY_S) < slow.behind_s(EPOCH_S + 300 * DAY_S) <= MAX_BEHIND_S


def test_a_slow_meter_says_the_hours_of_its_own_clock_and_an_overlapping_one_two_days():
    meters = make_meters(1, 400)
    due_s = EPOCH_S + YEAR_S + 5 * HOUR_S + 7
    slow = next(meter for meter in meters if meter.clock.slow_s_a_day and meter.wire is Wire.CBOR)
    said = cbor2.loads(slow.since(due_s - HOUR_S, due_s).payload)
    assert said[KEYS["sent_at"]] == due_s - slow.clock.behind_s(due_s)
    first_s = said[KEYS["blocks"]][0][0]
    assert first_s % HOUR_S == 0
    assert said[KEYS["blocks"]][0][2] == slow.household.index_l(first_s + slow.clock.behind_s(due_s))
    twice = next(meter for meter in meters if meter.quirk is Quirk.OVERLAPS and meter.obeys)
    once = next(meter for meter in meters if meter.quirk is Quirk.NONE and meter.wire is twice.wire)
    assert len(twice.daily(due_s).payload) > len(once.daily(due_s).payload)
    midnight = next(meter for meter in meters if meter.quirk is Quirk.AT_MIDNIGHT)
    assert midnight.report_second < HOUR_S
