"""One slice of meters: from their states and readings to what was found. Pure."""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.leaks.grid import counted, flow_grid
from ingest.leaks.habits import DAY_H, States, unknown_meters
from ingest.meters import Meters
from metering.consumption import HOUR_S, Bools, Ints, Readings, keys_of
from metering.leak_settings import LeakSettings

from .days import Followed, follow
from .findings import Findings, Seen, Told
from .incidents import told_apart
from .local_hours import LocalHours, day_of, local_hours

WHOLE_S = 3_420
"""An hour is over when steps that end in it make up so much, or a reading after it is there: an hourly reading that
ends one need not wait for the next; of quarter-hourly ones all four are waited for."""


class Slice(NamedTuple):
    """Meters that are looked at together, sorted; one entry each."""

    meters: Meters
    states: States
    known: Bools
    """False: the state is rubbish, and what the readings tell is learned from the first on."""
    from_day: Ints
    """The first local day of which readings are looked at."""
    since_s: Ints
    """Faults that were over before are not told: that they were has been said, or it was not for long."""

    def only(self, which: Bools | Ints | slice) -> Slice:
        meters = Meters(*(column[which] for column in self.meters))
        return Slice(meters, self.states[which], self.known[which], self.from_day[which], self.since_s[which])


class Found(NamedTuple):
    """Of the meters that have readings."""

    meter_id: Ints
    states: States
    """To be kept."""
    rounds: list[list[Told]]
    """At most one of a meter and kind in each, in order of time."""
    standing: set[tuple[int, str]]
    newest_s: dict[int, int]
    """The newest reading of each meter."""


def meter_days(of: Slice, readings: Readings, zone: ZoneInfo) -> int:
    """How large the grid of these readings would be."""
    if not len(readings.ts_s):
        return 0
    days = day_of(zone, np.array([readings.ts_s.min(), readings.ts_s.max()]))
    return int(days[1] - days[0] + 1) * len(of.known)


def found(of: Slice, readings: Readings, zone: ZoneInfo, settings: LeakSettings) -> Found | None:
    """None: not one of them has a reading. Raises what a record or a reading beyond all bounds makes numpy raise."""
    meter, ts_s, running = counted(readings, of.meters.limits)
    every = np.arange(len(of.known))
    first, last = np.searchsorted(meter, every), np.searchsorted(meter, every, "right") - 1
    there = last >= first
    if not there.any():
        return None
    newest_s = np.where(there, ts_s[last], ts_s.max())
    states = _begun(of, day_of(zone, ts_s[np.minimum(first, len(ts_s) - 1)]), there)
    newest_day = np.where(there, np.maximum(day_of(zone, newest_s), states["day"]), states["day"])
    first_day = int(states["day"].min())
    local = local_hours(zone, first_day, int(newest_day.max()) - first_day + 1)
    q4_ml_h = of.meters.limits.q4_ml_h
    flow = local.of(flow_grid(meter, ts_s, running, q4_ml_h, local.from_s, local.utc_hours))
    whole_hours = np.where(there, _whole_hours(local, newest_day, meter, ts_s, newest_s), 0)
    followed = follow(states, flow, first_day, newest_day, newest_day * DAY_H + whole_hours, settings)
    seen = Seen(of.meters, readings.meter, readings.ts_s, readings.index_ml, zone)
    return _told(of, followed, seen, states, newest_s, there, settings)


def _begun(of: Slice, first_day: Ints, there: Bools) -> States:
    """States to go on from: of meters that are not known, new ones of the day of their first reading that counts."""
    states, unknown = of.states.copy(), ~of.known
    states[unknown] = unknown_meters(int(unknown.sum()), 0, of.meters.q3_l_h[unknown])
    begin = np.where(of.known, states["day"], np.maximum(first_day, of.from_day))
    begin[~there] = begin[there].min()
    states["day"] = begin
    states["began"][unknown] = begin[unknown, None] * DAY_H
    return states


def _whole_hours(local: LocalHours, newest_day: Ints, meter: Ints, ts_s: Ints, newest_s: Ints) -> Ints:
    """How many hours of the day of its newest reading are over for each meter."""
    column = (newest_s - local.from_s) // HOUR_S
    begin_s = local.from_s + column * HOUR_S
    keys = keys_of(meter, ts_s)
    before = np.searchsorted(keys, keys_of(np.arange(len(newest_s)), begin_s)) - 1
    same = (before >= 0) & (meter[before] == np.arange(len(newest_s)))
    whole = same & (newest_s - ts_s[before] >= WHOLE_S)
    hours: Ints = np.where(newest_s >= local.from_s, local.hours_until(newest_day, column - 1 + whole), 0)
    return hours


def _told(
    of: Slice, followed: Followed, seen: Seen, before: States, newest_s: Ints, there: Bools, settings: LeakSettings
) -> Found:
    findings = Findings(followed, seen, settings)
    meter_id = of.meters.meter_id
    since_s = dict(zip(meter_id.tolist(), of.since_s.tolist(), strict=True))
    rounds = []
    for incidents in told_apart(followed.events, before, followed.now):
        told = findings.told(incident for incident in incidents if there[incident.meter])
        rounds.append([one for one in told if one.ended_s is None or one.ended_s >= since_s[one.meter_id]])
    newest = dict(zip(meter_id[there].tolist(), newest_s[there].tolist(), strict=True))
    return Found(meter_id[there], followed.kept[there], rounds, findings.standing(), newest)
