"""What is known of a city, in the form of leakbench's truth.json, which its scorer reads. Pure.

Beside what the scorer needs a meter has its `use`, `people`, `district` and `dn_mm`, and the city its outages by cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from simulators.city.district import Inflow, district_name, main_events
from simulators.city.mains import Mains, leak_events
from simulators.city.plan import CityPlan, meter_id
from simulators.households import Household
from simulators.local_time import HOUR_S, local_text
from simulators.meter import Meter
from simulators.outages import outages
from simulators.water.block import RunningOn, running_on
from simulators.water.faults import Fault
from simulators.water.users import BLOCK, UserKind

ML_PER_L = 1_000
CLEAN, SILENT = "clean", "noreport"
CONTINUOUS = "continuous"
"""A cistern that runs on for a day at least; leakbench has none of its name: it takes such flows for the homes' own."""


def of_files(
    plan: CityPlan, inflows: list[Inflow], changed_l: dict[int, float], running_on: Sequence[RunningOn]
) -> dict[str, Any]:
    """`changed_l`: by meter, how much more its register showed than its users' own water."""
    options, fleet = plan.options, plan.whole_fleet
    meters = [
        {
            "meter": meter_id(number),
            "kind": plan.faults[number].kind.value if number in plan.faults else CLEAN,
            "use": UserKind(int(fleet.kind[number])).name.lower(),
            "people": int(fleet.people[number]) if fleet.lived_in[number] else 0,
            "district": district_name(int(fleet.district[number])),
            "dn_mm": int(fleet.dn_mm[number]),
        }
        for number in range(options.meters)
    ]
    events = [
        {
            "meter": meter_id(number),
            **event(fault, fault.from_s, fault.from_s + fault.lasts_s),
            "vol": changed_l[number],
        }
        for number, fault in plan.faults.items()
    ]
    events += [
        {"meter": meter_id(one.user), **cistern(one, options.start_s, options.end_s)}
        for one in running_on
        if one.user < options.meters and not _hidden(one, plan.faults.get(one.user))
    ]
    cells = sorted(set(fleet.cell.tolist()))
    return {
        "seed": options.seed, "n": options.meters, "days": options.days, "start": local_text(options.start_s),
        "meters": meters, "events": events, "dma_events": main_events(options, inflows),
        "outages": outage_events(options.seed, cells, options.start_s, options.end_s),
    }  # fmt: skip


def of_doors(
    seed: int, meters: Sequence[Meter], of_mains: Mains, from_s: int, until_s: int, silent_since_s: int
) -> dict[str, Any]:
    """Of a town that is played from `from_s` to `until_s`; its meters are called by their serials."""
    events = list(_cisterns(seed, meters, from_s, until_s))
    for meter in meters:
        serial, fault = {"meter": meter.label.serial}, meter.household.fault
        if fault is not None:
            spells = fault.spells(from_s, until_s)
            events += [{**serial, **event(fault, max(begin, from_s), min(end, until_s))} for begin, end in spells]
        if meter.silent and silent_since_s < until_s:
            since = local_text(max(from_s, silent_since_s))
            events.append({**serial, "kind": SILENT, "start": since, "end": local_text(until_s), "rate": 0.0})
    cells = sorted({meter.radio.cell_id for meter in meters})
    return {
        "seed": seed, "n": len(meters), "days": round((until_s - from_s) / (24 * HOUR_S), 2),
        "start": local_text(from_s), "meters": [_named(meter) for meter in meters], "events": events,
        "dma_events": leak_events(of_mains, from_s, until_s),
        "outages": outage_events(seed, cells, from_s, until_s),
    }  # fmt: skip


def _named(meter: Meter) -> dict[str, Any]:
    fault = meter.household.fault
    kind = SILENT if meter.silent else fault.kind.value if fault else CLEAN
    return {"meter": meter.label.serial, "kind": kind, "district": meter.label.zone, "dn_mm": meter.label.dn_mm}


def event(fault: Fault, begin_s: int, end_s: int) -> dict[str, Any]:
    """`rate`: L/h, the mean of the hours in which it flows; `peak`: the most."""
    found: dict[str, Any] = {
        "kind": fault.kind.value,
        "start": local_text(begin_s),
        "end": local_text(end_s - HOUR_S),
        "rate": _mean_rate(fault, begin_s, end_s),
    }
    if fault.rate_l_h > 0:
        grown = (end_s - fault.from_s) / fault.grows_s if fault.grows_s and not fault.every_s else 1.0
        found["peak"] = fault.rate_l_h * min(1.0, grown)
    if fault.counted != 1.0:
        found["factor"] = fault.counted
    if fault.kind.harmless:
        found["benign"] = True
    return found


def cistern(one: RunningOn, from_s: int, until_s: int) -> dict[str, Any]:
    """Of one that runs on, within the span; it is part of its users' own water."""
    begin_s, end_s = max(one.from_s, from_s), min(one.until_s, until_s)
    litres = one.rate_l_h * (end_s - begin_s) / HOUR_S
    return {
        "kind": CONTINUOUS, "start": local_text(begin_s), "end": local_text(end_s), "rate": one.rate_l_h,
        "peak": one.rate_l_h, "vol": litres,
    }  # fmt: skip


def _cisterns(seed: int, meters: Sequence[Meter], from_s: int, until_s: int) -> Iterator[dict[str, Any]]:
    homes = {meter.household.number: meter for meter in meters if isinstance(meter.household, Household)}
    for number in sorted({who // BLOCK for who in homes}):
        for one in running_on(seed, number, from_s, until_s):
            meter = homes.get(one.user)
            if meter is not None and not _hidden(one, meter.household.fault):
                yield {"meter": meter.label.serial, **cistern(one, from_s, until_s)}


def _hidden(one: RunningOn, fault: Fault | None) -> bool:
    """Nobody is there, or the register stands still."""
    return fault is not None and fault.counted == 0 and any(True for _ in fault.spells(one.from_s, one.until_s))


def _mean_rate(fault: Fault, begin_s: int, end_s: int) -> float:
    lasts_s = end_s - begin_s
    if not fault.grows_s or lasts_s <= 0:
        return fault.rate_l_h
    grown_s = min(lasts_s, fault.grows_s)
    return fault.rate_l_h * (grown_s**2 / (2 * fault.grows_s) + lasts_s - grown_s) / lasts_s


def outage_events(seed: int, cells: Sequence[int], from_s: int, until_s: int) -> list[dict[str, Any]]:
    return [
        {"cell": cell, "start": local_text(begin), "end": local_text(end)}
        for cell in cells
        for begin, end in outages(seed, cell, from_s, until_s)
    ]
