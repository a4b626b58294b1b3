"""The mains of a town that lives on: what flows into its districts, and the bulk meters at their inlets. Pure.

A district takes in what its users and their leaks draw, background losses and now and then a leak of a main, as
`simulators.city.district` has them for files. Each is a function of the instant, so that a bulk meter's register is
one, too, and a town that is started again goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from simulators.city.district import (
    BACKGROUND,
    GROWS_DAYS,
    HIGHEST_AT_H,
    INLET_ERROR,
    L_PER_M3,
    MAIN_LEAKS,
    PRESSURE_SWING,
)
from simulators.clocks import Clock
from simulators.local_time import DAY_S, HOUR_S, local_text
from simulators.meter import Label, Meter, Quirk, Wire
from simulators.radio import Radio
from simulators.town_plan import INLET_ZONES, imei, zone_name
from simulators.water.block import ML_PER_L, WEEK_H, block, hourly_ml
from simulators.water.calendar import EPOCH_S, WEEK_S, Floats
from simulators.water.faults import RECURS_S, Fault, FaultKind
from simulators.water.users import BLOCK

LEAST_USERS = 10
"""A smaller district has no bulk meter."""
INLETS = (
    ((0, 1), 1.0, (("in", 0),)),
    ((1,), 1.0, (("out", 0), ("in", 1))),
    ((2,), 0.6, (("in", 2),)),
    ((2,), 0.4, (("in", 2),)),
    ((3,), 1.0, (("in", 3),)),
)
"""Of each bulk meter: places in INLET_ZONES of the districts that lie behind it, the share of their water that it
passes, and where it counts. The first feeds two districts, one behind the other; the third district has two inlets."""
LEAK_DAYS = 10
EVERY_S = 900
NUMBER_FROM = 1_000_000
"""Of bulk meters, beyond all others: places of a town's meters are below."""
SIZES = ((50, "25"), (80, "63"), (100, "100"), (150, "250"), (200, "400"), (300, "1000"), (400, "1600"))
"""DN in mm and Q3 in m³/h."""
PEAK = 4
"""A district's greatest flow in means: the meter is to pass it below Q3."""
KEPT_WEEKS = 64
"""Weeks of all districts that are remembered, 1.3 kB each."""


class User(NamedTuple):
    """`number` as of `simulators.households.Household`."""

    number: int
    fault: Fault | None


@dataclass(frozen=True, eq=False)
class District:
    """What flows into a zone for itself: its users, its background losses, the leak that comes back to its mains."""

    seed: int
    place: int
    zone: str
    users: tuple[User, ...]
    mean_l_h: float
    background_l_h: float
    leak: Fault

    def litres_upto(self, ts_s: int) -> float:
        """That flowed in since EPOCH_S, and what stood on its users' registers then. Between hours it runs evenly."""
        week, second = divmod(ts_s - EPOCH_S, WEEK_S)
        hour, rest_s = divmod(second, HOUR_S)
        upto, then = _week_l(self, week)[hour : hour + 2]
        return float(upto + (then - upto) * rest_s / HOUR_S)


@lru_cache(KEPT_WEEKS)
def _week_l(district: District, week: int) -> Floats:
    """`District.litres_upto` at the week's 169 full hours."""
    from_s = EPOCH_S + week * WEEK_S
    ts_s = from_s + np.arange(WEEK_H + 1) * HOUR_S
    total_ml = district.leak.added_ml(ts_s)
    for number in sorted({user.number // BLOCK for user in district.users}):
        places = [user.number % BLOCK for user in district.users if user.number // BLOCK == number]
        total_ml += hourly_ml(district.seed, number, from_s, WEEK_H)[places].sum(0)
    for user in district.users:
        if user.fault is not None and not user.fault.kind.in_the_meter:
            total_ml += user.fault.added_ml(ts_s)
    hours = (ts_s - EPOCH_S) / HOUR_S
    swing = PRESSURE_SWING * 12 / np.pi * np.sin(2 * np.pi * (hours - HIGHEST_AT_H) / 24)
    litres: Floats = total_ml / ML_PER_L + district.background_l_h * (hours + swing)
    return litres


@dataclass(frozen=True)
class Main:
    """The register of a bulk meter. `share`: of what its districts take in, this meter's part."""

    seed: int
    number: int
    districts: tuple[District, ...]
    share: float
    fault: None = None

    def index_l(self, ts_s: int) -> int:
        """Whole litres. The error of an hour is small against the flow, so that the index never falls."""
        week, second = divmod(ts_s - EPOCH_S, WEEK_S)
        hour, rest_s = divmod(second, HOUR_S)
        off, next_off = _errors(self.seed, self.number, week)[hour : hour + 2]
        mean_l_h = sum(district.mean_l_h for district in self.districts)
        error_l = mean_l_h * (off + (next_off - off) * rest_s / HOUR_S)
        return int(self.share * (sum(district.litres_upto(ts_s) for district in self.districts) + error_l))


@lru_cache(KEPT_WEEKS)
def _errors(seed: int, number: int, week: int) -> Floats:
    """At the week's 169 full hours: in hours of mean flow; the difference of two has the deviation INLET_ERROR."""
    now, after = (np.random.default_rng((seed, number, at, 1_000_171)).normal(size=WEEK_H) for at in (week, week + 1))
    errors: Floats = np.append(now, after[0]) * INLET_ERROR / np.sqrt(2)
    return errors


class Mains(NamedTuple):
    """A town's districts with inlets, and their bulk meters."""

    districts: list[District]
    meters: list[Meter]


def mains(seed: int, meters: Sequence[Meter]) -> Mains:
    """Of a town with these users. Small towns have none."""
    districts = [_district(seed, place, zone, meters) for place, zone in enumerate(INLET_ZONES)]
    whole = all(len(district.users) >= LEAST_USERS for district in districts)
    if not whole:
        return Mains([], [])
    return Mains(districts, [_bulk_meter(seed, place, districts) for place in range(len(INLETS))])


def _district(seed: int, place: int, zone: str, meters: Sequence[Meter]) -> District:
    users = tuple(User(meter.number, meter.household.fault) for meter in meters if meter.label.zone == zone)
    mean = sum(float(block(seed, user.number // BLOCK).users.litres_a_day[user.number % BLOCK]) / 24 for user in users)
    draw = np.random.default_rng((seed, place, 1_000_183))
    return District(seed, place, zone, users, mean, draw.uniform(*BACKGROUND) * mean, _leak(place, mean))


def _leak(place: int, mean_l_h: float) -> Fault:
    """In every RECURS_S one, districts in turn: in any week a main of the town begins to leak."""
    kind, share = MAIN_LEAKS[place % len(MAIN_LEAKS)]
    grows_s = GROWS_DAYS * DAY_S if kind == "incipient" else 0
    from_s = EPOCH_S + place * RECURS_S // len(INLET_ZONES) + 9 * HOUR_S
    of = FaultKind.GROWING if grows_s else FaultKind.BURST
    return Fault(of, from_s, LEAK_DAYS * DAY_S, share * mean_l_h, grows_s=grows_s, every_s=RECURS_S)


def _bulk_meter(seed: int, place: int, districts: Sequence[District]) -> Meter:
    behind, share, flows = INLETS[place]
    number = NUMBER_FROM + place
    main = Main(seed, number, tuple(districts[at] for at in behind), share)
    mean_m3h = share * sum(district.mean_l_h for district in main.districts) / L_PER_M3
    dn_mm, q3 = next((size for size in SIZES if float(size[1]) >= PEAK * mean_m3h), SIZES[-1])
    label = Label(
        serial=f"2023{seed % 100:02d}9{place:05d}",
        imei=imei(seed, 990_000 + place),
        maker="汇中股份",
        model=f"SCL 电磁水表 DN{dn_mm}",
        dn_mm=dn_mm,
        q3_m3h=q3,
        zone=INLET_ZONES[flows[-1][1]],
        address=f"葫芦岛市{zone_name(INLET_ZONES[flows[-1][1]])}进水口{place + 1}",
        latitude=round(40.75 + 0.004 * place, 6),
        longitude=round(120.86 + 0.004 * place, 6),
    )
    return Meter(
        seed=seed, number=number, label=label, wire=Wire.CBOR, household=main, radio=Radio(-850, 0x0A0B00),
        report_second=3_600 + 60 * place, silent=False, worn_battery=False, tampered=False, clock=Clock(),
        quirk=Quirk.OVERLAPS, every_s=EVERY_S,
    )  # fmt: skip


def leak_events(of: Mains, from_s: int, until_s: int) -> list[dict[str, Any]]:
    """Leaks of mains within the span, as leakbench's truth has them."""
    return [
        {
            "dma": district.zone,
            "type": "incipient" if district.leak.grows_s else "abrupt",
            "start": local_text(max(begin, from_s)),
            "end": local_text(min(end, until_s) - HOUR_S),
            "rate_m3h": district.leak.rate_l_h / L_PER_M3,
            "vol_m3": _litres(district.leak, max(begin, from_s), min(end, until_s)) / L_PER_M3,
            "frac_mean": district.leak.rate_l_h / district.mean_l_h,
        }
        for district in of.districts
        for begin, end in district.leak.spells(from_s, until_s)
    ]


def _litres(leak: Fault, from_s: int, until_s: int) -> float:
    begin_ml, end_ml = leak.added_ml(np.array([from_s, until_s])).tolist()
    return float(end_ml - begin_ml) / ML_PER_L
