"""What a simulated meter does with commands: each once, and what it says of them."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2
import pytest

from metering.commands import CommandKind, WaitingCommand
from metering.model import Valve
from simulators.obedience import MAX_REMEMBERED, Obedience, Plan, Result

NOW_S = 1_767_225_600
ID = b"command1"


def told(meter: Obedience, kind: int, arguments: dict[int, Any], command_id: bytes = ID, now_s: int = NOW_S) -> int:
    command = WaitingCommand(command_id, CommandKind(kind), arguments, NOW_S + 3600)
    assert meter.obey(command.answer(), now_s) == command_id
    return dict(meter.results)[command_id]


def test_a_valve_is_turned_once_however_often_it_is_told() -> None:
    meter = Obedience()
    assert told(meter, 2, {0: 1}) == Result.DONE
    assert told(meter, 2, {0: 1}, now_s=NOW_S + 60) == Result.DONE
    assert (meter.valve, meter.carried_out, meter.results) == (Valve.CLOSED, 1, [(ID, 0)])
    meter.reported(meter.results)
    assert meter.results == []
    told(meter, 2, {0: 1})
    assert (meter.carried_out, meter.results) == (1, [(ID, 0)])  # it says again what it said


def test_no_water_flows_while_the_valve_is_closed() -> None:
    meter = Obedience()
    told(meter, 2, {0: 1}, b"close..1", NOW_S + 100)
    assert [meter.index_l(lambda ts: ts - NOW_S, NOW_S + s) for s in (50, 100, 500)] == [50, 100, 100]
    told(meter, 2, {0: 0}, b"open...1", NOW_S + 300)
    assert [meter.index_l(lambda ts: ts - NOW_S, NOW_S + s) for s in (50, 200, 300, 400)] == [50, 100, 100, 200]


def test_plans_clocks_and_history() -> None:
    meter = Obedience()
    assert told(meter, 3, {0: 86_400, 1: 600, 2: 3600}, b"plan...1") == Result.DONE
    assert meter.plan is not None
    assert meter.plan.next_due_s(NOW_S) == NOW_S + 600  # NOW_S is midnight UTC
    assert meter.plan.next_due_s(NOW_S + 600) == NOW_S + 86_400 + 600
    told(meter, 4, {0: NOW_S}, b"clock..1")
    told(meter, 5, {0: NOW_S - 7200, 1: NOW_S}, b"history1")
    told(meter, 1, {}, b"report.1")
    assert (meter.clock_set_to_s, meter.wants_history) == (NOW_S, (NOW_S - 7200, NOW_S))
    assert meter.report_at_once
    assert meter.carried_out == 4


@pytest.mark.parametrize(
    ("kind", "arguments"), [(2, {}), (3, {0: 60, 1: 60, 2: 60}), (3, {0: 0, 1: 0, 2: 60}), (4, {0: "x"}), (6, {0: "u"})]
)
def test_what_makes_no_sense_is_refused(kind: int, arguments: dict[int, Any]) -> None:
    meter = Obedience()
    assert told(meter, kind, arguments) == Result.REFUSED
    assert meter.carried_out == 0


def test_too_late_is_too_late() -> None:
    assert told(Obedience(), 2, {0: 1}, now_s=NOW_S + 4000) == Result.EXPIRED


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x68\x16", cbor2.dumps({0: b"short", 1: 1, 2: {}, 3: NOW_S})])
def test_rubbish_is_ignored(payload: bytes) -> None:
    assert Obedience().obey(payload, NOW_S) is None


def test_memory_is_bounded() -> None:
    meter = Obedience()
    for number in range(2 * MAX_REMEMBERED):
        told(meter, 1, {}, number.to_bytes(8, "big"))
        meter.reported(meter.results)
    assert len(meter._known) == MAX_REMEMBERED
    assert Plan(60, 0, 60).next_due_s(0) == 60


def test_firmware_is_fetched_before_it_says_how_it_went() -> None:
    image = b"new" * 100
    arguments = {0: "coap://gw/fw/12", 1: hashlib.sha256(image).digest(), 2: 300}
    for meter, got, result in (
        (Obedience(can_update=True), image, Result.DONE),
        (Obedience(can_update=True), image[:-1], Result.FAILED),
        (Obedience(can_update=True), None, Result.FAILED),
        (Obedience(can_update=True, flash_fails=True), image, Result.FAILED),
    ):
        answer = WaitingCommand(ID, CommandKind.FIRMWARE, arguments, NOW_S + 3600).answer()
        for _ in range(2):
            assert meter.obey(answer, NOW_S) == ID
            assert meter.results == []
        meter.fetched(got)
        assert (meter.results, meter.update) == ([(ID, result)], None)
        assert meter.firmware == (arguments[1] if result is Result.DONE else b"")
        assert meter.obey(answer, NOW_S) == ID
        assert meter.update is None
