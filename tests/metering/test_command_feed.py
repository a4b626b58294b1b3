"""What travels between ingest and gateways comes back as it was, and what is something else is refused."""

from __future__ import annotations

import cbor2
import pytest

from metering.command_feed import (
    MAX_REASON_CHARACTERS,
    MAX_WAITING_PER_DEVICE,
    DeviceCommands,
    Told,
    decode_told,
    decode_waiting,
    encode_told,
    encode_waiting,
)
from metering.commands import (
    CommandKind,
    WaitingCommand,
    arguments_from_json,
    arguments_to_json,
    database_id,
    travelling_id,
)
from metering.errors import EnvelopeError
from metering.model import Door

CLOSE = WaitingCommand(b"12345678", CommandKind.VALVE, {0: 1}, 1_767_398_400)
TOLD = Told(bytes(range(16)), 1_767_398_400_000_000, "861", b"12345678", None, "", Door.COAP)


def test_what_waits_comes_back() -> None:
    waiting = DeviceCommands("861", (CLOSE, CLOSE._replace(kind=CommandKind.RAW, arguments={0: b"\x68"})))
    assert decode_waiting(encode_waiting(waiting)) == waiting
    assert decode_waiting(encode_waiting(DeviceCommands("861", ()))).commands == ()


def test_no_more_is_taken_than_may_wait() -> None:
    many = DeviceCommands("861", (CLOSE,) * 100)
    assert len(decode_waiting(encode_waiting(many)).commands) == MAX_WAITING_PER_DEVICE


def test_what_was_told_comes_back() -> None:
    ended = TOLD._replace(result=1, reason="x" * 1000, door=Door.LWM2M)
    assert decode_told(encode_told([TOLD, ended])) == [TOLD, ended._replace(reason="x" * MAX_REASON_CHARACTERS)]


@pytest.mark.parametrize(
    "body", [b"", b"\xff", cbor2.dumps(1), cbor2.dumps([["861"]]), cbor2.dumps(["861", [[b"1", 99, {}, 0]]])]
)
def test_what_is_something_else_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_waiting(body)
    with pytest.raises(EnvelopeError):
        decode_told(body)


def test_ids_of_63_bits_are_ours() -> None:
    assert database_id(travelling_id(2**63 - 1)) == 2**63 - 1
    assert database_id(b"\xff" * 8) is None
    assert database_id(b"short") is None


def test_arguments_survive_json() -> None:
    arguments = {0: b"\x68\x16", 1: 7, 2: "text"}
    assert arguments_from_json(arguments_to_json(arguments)) == arguments
