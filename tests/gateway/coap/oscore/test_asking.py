"""Requests of ours and their answers, against the meter's half of OSCORE."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coap import message as coap
from gateway.coap.message import Message
from gateway.coap.oscore import asking as asking_module
from gateway.coap.oscore.asking import Asked, Asking
from gateway.coap.oscore.contexts import Contexts
from gateway.coap.oscore.key_ring import KeyRing
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.option import OptionError, read_response_option
from gateway.coap.oscore.windows import Windows
from gateway.devices import Devices
from simulators import message
from simulators.oscore import OSCORE, ProtectedMeter
from tests.gateway.coap.protected import DEVICE, KID, MASTER_KEYS, OTHER, SECRET, entries

READ = coap.encode(Message(coap.CON, coap.GET, 7, b"token 01", [(11, b"3"), (11, b"0")], b""))
OBSERVE = coap.encode(Message(coap.CON, coap.GET, 8, b"token 02", [(6, b""), (11, b"19")], b""))


def made(leases: int = 1) -> Asking:
    devices, numbers = Devices(), SenderNumbers()
    for entry in entries():
        devices.apply(entry)
    for lease in range(leases):
        numbers.add(lease)
    contexts = Contexts(KeyRing(devices, MASTER_KEYS), Windows(), numbers, None, True)
    return Asking(contexts.ring, contexts.numbers)


def answered(sealed: bytes, own: bool = False, plaintext: bytes = b"\x45\xff85") -> Message:
    meter, said = ProtectedMeter(SECRET, KID, next_number=300), message.decode(sealed)
    number, _ = meter.open_request(said)
    option, ciphertext = meter.protect_answer(number, plaintext, own)
    return Message(coap.ACK, coap.CHANGED, said.message_id, said.token, [(OSCORE, option)], ciphertext)


def test_a_retransmission_is_the_same_bytes_and_another_request_has_another_number() -> None:
    asking = made()
    first = asking.seal(READ, DEVICE, KID)
    assert first is not None
    assert asking.seal(READ, DEVICE, KID) == first
    outer = message.decode(first)
    assert (outer.code, [name for name, _ in outer.options]) == (message.POST, [OSCORE])
    number, plaintext = ProtectedMeter(SECRET, KID).open_request(outer)
    assert (number, plaintext) == (b"\x00", b"\x01\xb13\x010")
    again = asking.seal(READ[:2] + b"\0\x09" + READ[4:], DEVICE, KID)
    assert again is not None
    assert ProtectedMeter(SECRET, KID).open_request(message.decode(again))[0] == b"\x01"
    assert len(asking) == 1


def test_an_observation_is_a_fetch_outside_and_its_answers_have_numbers_of_their_own() -> None:
    asking = made()
    sealed = asking.seal(OBSERVE, DEVICE, KID)
    assert sealed is not None
    outer = message.decode(sealed)
    assert (outer.code, [name for name, _ in outer.options]) == (0x05, [6, OSCORE])
    asked = asking.asked(b"token 02")
    assert asked is not None
    for own, number in ((False, b""), (True, (300).to_bytes(2, "big"))):
        opened = asking.open(answered(sealed, own), asked)
        assert opened is not None
        assert (opened.message.code, opened.message.payload, opened.number) == (0x45, b"85", number)
    asking.answered(b"token 02")
    kept = asking.asked(b"token 02")
    assert kept is not None
    assert (kept.answered, kept.number) == (True, asked.number)


def test_what_is_no_answer_of_this_device_to_this_request() -> None:
    asking = made()
    sealed = asking.seal(READ, DEVICE, KID)
    assert sealed is not None
    asked = asking.asked(b"token 01")
    assert asked is not None
    right = answered(sealed)
    assert asking.open(right, asked._replace(number=b"\x05")) is None
    assert asking.open(right, asked._replace(device=OTHER)) is None
    assert asking.open(right, Asked(DEVICE, b"nobody", b"\0")) is None
    assert asking.open(right._replace(payload=right.payload[:-1] + b"?"), asked) is None
    assert asking.open(right._replace(payload=b"short"), asked) is None
    assert asking.open(right._replace(options=[(OSCORE, b"\xe1\x01")]), asked) is None
    assert asking.open(answered(sealed, plaintext=b"\x01"), asked) is None  # a request is no answer
    assert asking.seal(READ[:3] + b"\x0a" + READ[4:], OTHER, KID) is None  # the kid is another device's


def test_without_a_number_nothing_is_sealed_and_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(leases=0).seal(READ, DEVICE, KID) is None
    monkeypatch.setattr(asking_module, "MAX_ASKED", 2)
    asking = made()
    for number in range(4):
        assert asking.seal(READ[:4] + b"token %02d" % number + READ[12:], DEVICE, KID) is not None
    assert (len(asking), asking.asked(b"token 01")) == (2, None)


@given(st.binary(max_size=12))
def test_any_bytes_are_an_option_or_none(value: bytes) -> None:
    try:
        number = read_response_option(value)
    except OptionError:
        return
    assert len(number) <= 5
