"""Commands as they travel, and the life they have."""

from __future__ import annotations

import pytest

from metering.commands import RESULTS, TRANSITIONS, CommandKind, CommandState, WaitingCommand
from metering.model import Authentication

CLOSE = WaitingCommand(bytes.fromhex("0190a1b2c3d4e5f6"), CommandKind.VALVE, {0: 1}, 1_767_398_400)


def test_the_answer_is_that_of_the_protocol() -> None:
    """PROTOCOLS G: close the valve."""
    assert CLOSE.answer().hex() == "a400480190a1b2c3d4e5f6010202a10001031a69585c00"


def test_a_raw_frame_travels_as_it_is() -> None:
    frame = bytes.fromhex("6810543607454043580404906001557716")
    assert CLOSE._replace(kind=CommandKind.RAW, arguments={0: frame}).answer() == frame


@pytest.mark.parametrize("kind", [CommandKind.VALVE, CommandKind.FIRMWARE, CommandKind.RAW])
def test_whoever_only_claims_to_be_a_meter_gets_no_such_command(kind: CommandKind) -> None:
    assert not CLOSE._replace(kind=kind).may_go_to(Authentication.CLAIMED)
    assert CLOSE._replace(kind=kind).may_go_to(Authentication.OSCORE)


def test_whoever_only_claims_may_be_asked_to_report() -> None:
    assert CLOSE._replace(kind=CommandKind.REPORT_NOW).may_go_to(Authentication.CLAIMED)


def test_every_state_has_its_transitions_and_every_result_can_be_reached() -> None:
    assert TRANSITIONS.keys() == set(CommandState)
    assert set(RESULTS.values()) <= TRANSITIONS[CommandState.HANDED_OVER]
    assert not TRANSITIONS[CommandState.CONFIRMED]
