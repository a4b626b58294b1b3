"""What becomes of a command when something is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingest.commands.life import MAX_HANDOVER_EVENTS, Command, Decided, Said, decide, results_of
from ingest.commands.told import said_of
from metering.command_feed import Told
from metering.commands import WAITING_STATES, CommandKind, CommandState, Recall
from metering.model import WEAK, Authentication, Door

AT = datetime(2026, 1, 1, tzinfo=UTC)
CLOSE = Command(7, "861", CommandKind.VALVE, CommandState.QUEUED, 0, None, None)
HANDED = Said(7, "861", CommandState.HANDED_OVER, AT, "coap")
DONE = Said(7, "861", CommandState.CONFIRMED, AT + timedelta(seconds=5), "meter", "", Authentication.OSCORE)


def decided(*said: Said, command: Command = CLOSE) -> Decided:
    return decide({command.command_id: command}, said)


def test_a_command_is_handed_over_twice_and_confirmed_once() -> None:
    found = decided(HANDED, HANDED, DONE, DONE)
    command = found.changed[7]
    assert (command.state, command.handovers, command.handed_over_at) == (CommandState.CONFIRMED, 2, AT)
    assert command.ended_at == DONE.at
    assert [event.state for event in found.events] == ["handed_over", "handed_over", "confirmed"]
    assert found.refused == {"not_a_transition": 1}


def test_the_news_of_handing_over_may_come_after_the_meters_own() -> None:
    found = decided(DONE, HANDED)
    assert (found.changed[7].state, found.changed[7].handed_over_at) == (CommandState.CONFIRMED, AT)
    assert [event.state for event in found.events] == ["confirmed", "handed_over"]


def test_nobody_speaks_for_the_command_of_another_device() -> None:
    found = decided(DONE._replace(device="862"))
    assert not found.changed
    assert [one.device for one in found.unknown] == ["862"]


def test_who_only_claims_to_be_the_meter_does_not_say_that_the_valve_is_closed() -> None:
    for weak in (*WEAK, "claimed"):  # of a dead letter that is replayed it is a text
        claimed = DONE._replace(authentication=weak)
        assert decided(claimed).refused == {"claimed": 1}
        clock = Command(7, "861", CommandKind.SET_CLOCK, CommandState.HANDED_OVER, 1, AT, None)
        assert decided(claimed, command=clock).changed[7].state is CommandState.CONFIRMED


def test_what_nobody_approved_cannot_be_handed_over() -> None:
    command = Command(7, "861", CommandKind.VALVE, CommandState.AWAITING_APPROVAL, 0, None, None)
    assert decided(HANDED, command=command).refused == {"not_a_transition": 1}


def test_what_the_meter_did_counts_though_it_says_so_late() -> None:
    expired = Command(7, "861", CommandKind.VALVE, CommandState.EXPIRED, 1, AT, AT)
    assert decided(DONE, command=expired).changed[7].state is CommandState.CONFIRMED


def test_events_are_bounded_and_the_count_is_not() -> None:
    found = decided(*[HANDED] * 50)
    assert (found.changed[7].handovers, len(found.events)) == (50, MAX_HANDOVER_EVENTS)


def test_whether_a_platform_gave_it_back_is_written_of_what_waits_or_was_cancelled() -> None:
    note = Said(7, "861", Recall.NOT_RECALLED, AT, "iotda", "iotda: no")
    cancelled = Command(7, "861", CommandKind.VALVE, CommandState.CANCELLED, 1, AT, AT)
    found = decided(note, command=cancelled)
    assert ([event[2:5] for event in found.events], found.changed) == ([("not_recalled", "iotda", "iotda: no")], {})
    assert decided(note, DONE, command=cancelled).changed[7].state is CommandState.CONFIRMED
    for state in CommandState:
        other = Command(7, "861", CommandKind.VALVE, state, 1, AT, AT)
        if state in WAITING_STATES:
            assert decided(note, command=other)[:3] == ({}, found.events, {})
        elif state is not CommandState.CANCELLED:
            assert decided(note, command=other) == Decided({}, [], {"nothing_to_recall": 1}, [])


def test_a_gateways_news_of_it_are_read() -> None:
    told = [Told(bytes(16), 5, "861", bytes(7) + b"\x07", result, "why", Door.IOTDA) for result in (10, 11, 12)]
    assert [one.state for one in said_of(told)] == [Recall.RECALLED, Recall.NOT_RECALLED]


@pytest.mark.parametrize(
    "results",
    [None, 1, "x", [1], [["00", 0]], [["zz" * 8, 0]], [["00" * 8, 9]], [["00" * 8, True]], [["ff" * 8, 0]], [[0, 0]]],
)
def test_results_that_are_none_are_left_out(results: object) -> None:
    assert results_of({"results": results}, "861", AT, Authentication.OSCORE, "r") == []


def test_results_of_a_report() -> None:
    said = results_of({"results": [["0000000000000007", 2]]}, "861", AT, Authentication.CLAIMED, "r")
    assert said == [Said(7, "861", CommandState.REFUSED, AT, "meter", "report r", Authentication.CLAIMED)]
