"""Arguments by name: read, shown, and refused with a reason a person understands."""

from __future__ import annotations

from typing import Any

import pytest

from metering.command_arguments import may_close, read_arguments, show_arguments
from metering.commands import CommandKind
from metering.errors import RequestError

GOOD: list[tuple[CommandKind, dict[str, Any], dict[int, Any]]] = [
    (CommandKind.REPORT_NOW, {}, {}),
    (CommandKind.VALVE, {"valve": "close"}, {0: 1}),
    (CommandKind.VALVE, {"valve": "open"}, {0: 0}),
    (CommandKind.REPORTING_PLAN, {"period_s": 86_400, "offset_s": 60, "interval_s": 3600}, {0: 86_400, 1: 60, 2: 3600}),
    (CommandKind.SET_CLOCK, {}, {}),
    (CommandKind.SET_CLOCK, {"unix_s": 1_767_225_600}, {0: 1_767_225_600}),
    (CommandKind.READ_HISTORY, {"from_s": 1_767_225_600, "to_s": 1_767_312_000}, {0: 1_767_225_600, 1: 1_767_312_000}),
    (
        CommandKind.FIRMWARE,
        {"uri": "coap://[2001:db8::1]/fw/ab", "sha256": "ab" * 32, "size_bytes": 1000},
        {0: "coap://[2001:db8::1]/fw/ab", 1: b"\xab" * 32, 2: 1000},
    ),
    (CommandKind.RAW, {"frame": "6816"}, {0: b"\x68\x16"}),
]


@pytest.mark.parametrize(("kind", "named", "numbered"), GOOD)
def test_there_and_back(kind: CommandKind, named: dict[str, Any], numbered: dict[int, Any]) -> None:
    assert read_arguments(kind, named) == numbered
    assert show_arguments(kind, numbered) == named


@pytest.mark.parametrize(
    ("kind", "named", "message"),
    [
        (CommandKind.VALVE, {}, "needs valve"),
        (CommandKind.VALVE, {"valve": 1}, "open or close"),
        (CommandKind.VALVE, {"valve": "close", "x": 1}, "no argument 'x'"),
        (CommandKind.REPORTING_PLAN, {"period_s": 60, "offset_s": 60, "interval_s": 60}, "within period_s"),
        (CommandKind.REPORTING_PLAN, {"period_s": True, "offset_s": 0, "interval_s": 60}, "an integer"),
        (CommandKind.READ_HISTORY, {"from_s": 1_767_225_600, "to_s": 1_767_225_600}, "comes before"),
        (CommandKind.FIRMWARE, {"uri": "x\n", "sha256": "ab" * 32, "size_bytes": 1}, "ASCII"),
        (CommandKind.FIRMWARE, {"uri": "x", "sha256": "ab", "size_bytes": 1}, "32 bytes"),
        (CommandKind.RAW, {"frame": ""}, "hexadecimal"),
        (CommandKind.RAW, {"frame": "00" * 513}, "hexadecimal"),
        (CommandKind.RAW, {"frame": 7}, "hexadecimal"),
    ],
)
def test_what_is_wrong_is_said(kind: CommandKind, named: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_arguments(kind, named)


def test_what_may_close_a_valve() -> None:
    assert may_close(CommandKind.VALVE, {0: 1})
    assert not may_close(CommandKind.VALVE, {0: 0})
    assert may_close(CommandKind.RAW, {0: bytes.fromhex("6810543607454043580404904006009900")})


def test_what_has_no_name_keeps_its_number() -> None:
    assert show_arguments(CommandKind.REPORT_NOW, {7: b"\x01", 8: 2}) == {"7": "01", "8": 2}
