"""Who may command what."""

from __future__ import annotations

import pytest

from api.command_rules import check_approver, check_closing, check_filing, check_number, first_state
from api.roles import ForbiddenError, Principal, Role
from metering.commands import CommandKind, CommandState
from metering.errors import ConflictError, RequestError

OPERATOR = Principal("li", Role.OPERATOR, "session")
ENGINEER = Principal("wang", Role.ENGINEER, "session")


@pytest.mark.parametrize("kind", [CommandKind.VALVE, CommandKind.RAW, CommandKind.REPORTING_PLAN])
def test_an_operator_turns_no_valve(kind: CommandKind) -> None:
    with pytest.raises(ForbiddenError):
        check_filing(OPERATOR, kind, "because")
    assert check_filing(ENGINEER, kind, " because ") == "because"


def test_an_operator_asks_for_a_report() -> None:
    assert check_filing(OPERATOR, CommandKind.REPORT_NOW, "") == ""


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\0"])
def test_a_valve_needs_a_reason_that_is_text(reason: str) -> None:
    with pytest.raises(RequestError):
        check_filing(ENGINEER, CommandKind.VALVE, reason)


def test_firmware_is_for_campaigns() -> None:
    with pytest.raises(RequestError, match="campaign"):
        check_filing(ENGINEER, CommandKind.FIRMWARE, "because")


def test_closing_waits_for_somebody_else() -> None:
    assert first_state(CommandKind.VALVE, {0: 1}) is CommandState.AWAITING_APPROVAL
    assert first_state(CommandKind.RAW, {0: b"\x68"}) is CommandState.AWAITING_APPROVAL
    assert first_state(CommandKind.VALVE, {0: 0}) is CommandState.QUEUED
    with pytest.raises(ForbiddenError, match="somebody else"):
        check_approver(ENGINEER, "wang", CommandKind.VALVE)
    with pytest.raises(ForbiddenError, match="engineer"):
        check_approver(OPERATOR, "wang", CommandKind.VALVE)
    check_approver(ENGINEER, "zhao", CommandKind.VALVE)


def test_critical_customers_and_large_numbers() -> None:
    with pytest.raises(ConflictError, match="critical"):
        check_closing("1", critical=True)
    check_number(20, 20, "wang")
    with pytest.raises(ConflictError, match="at most 20"):
        check_number(21, 20, "wang")
