"""The truth of a town that is played through doors is what its meters show."""

from simulators.city.mains import mains
from simulators.city.truth import event, of_doors
from simulators.local_time import DAY_S, HOUR_S, local_text
from simulators.town_plan import make_meters
from simulators.water.calendar import EPOCH_S
from simulators.water.faults import Fault, FaultKind

FROM_S = EPOCH_S + 400 * DAY_S
UNTIL_S = FROM_S + 20 * DAY_S


def test_spells_within_what_is_played_and_silence_since_it_began():
    meters = make_meters(1, 150)
    truth = of_doors(1, meters, mains(1, meters), FROM_S, UNTIL_S, UNTIL_S - 3 * DAY_S)
    assert truth["n"] == len(truth["meters"]) == 150
    kinds = {meter["meter"]: meter["kind"] for meter in truth["meters"]}
    faulty = {event["meter"] for event in truth["events"] if event["kind"] not in ("noreport", "continuous")}
    assert faulty == {
        meter.label.serial
        for meter in meters
        if meter.household.fault and any(meter.household.fault.spells(FROM_S, UNTIL_S))
    }
    assert all(local_text(FROM_S) <= event["start"] < local_text(UNTIL_S) for event in truth["events"])
    silent = [event["meter"] for event in truth["events"] if event["kind"] == "noreport"]
    assert silent == [meter.label.serial for meter in meters if meter.silent]
    assert all(kinds[meter] == "noreport" for meter in silent)
    cisterns = [event for event in truth["events"] if event["kind"] == "continuous"]
    assert {event["meter"] for event in cisterns} <= kinds.keys()
    assert all(event["start"] < event["end"] <= local_text(UNTIL_S) for event in cisterns)
    assert len(cisterns) > 5


def test_rates_are_those_of_the_hours_in_which_it_flows():
    growing = Fault(FaultKind.GROWING, FROM_S, 10 * DAY_S, 40.0, grows_s=20 * DAY_S)
    said = event(growing, FROM_S, FROM_S + 10 * DAY_S)
    assert (said["rate"], said["peak"]) == (10.0, 20.0)
    cyclic = Fault(FaultKind.CYCLIC, FROM_S, 10 * DAY_S, 30.0, on_s=4 * HOUR_S, off_s=4 * HOUR_S)
    assert event(cyclic, FROM_S, FROM_S + 10 * DAY_S)["rate"] == 30.0
    guests = Fault(FaultKind.GUESTS, FROM_S, DAY_S, counted=1.8)
    assert event(guests, FROM_S, FROM_S + DAY_S)["benign"]
