"""Echo values, numbers of our own, the memory of answers, and the ring of keys."""

from __future__ import annotations

import pytest

from gateway.coap.oscore import answers as answers_module
from gateway.coap.oscore import echo as echo_module
from gateway.coap.oscore import key_ring as ring_module
from gateway.coap.oscore import refusals
from gateway.coap.oscore.answers import AnswerMemory, Usual
from gateway.coap.oscore.echo import ASKED_PER_S, LIFETIME_S, EchoValues
from gateway.coap.oscore.key_ring import KeyRing
from gateway.coap.oscore.numbers import LEASE, LOW, MAX_LEASES, SenderNumbers
from gateway.devices import Devices
from metering.credentials import CredentialKind, OscoreSecret
from metering.registry import ENABLED, HAS_KEY, RegistryEntry
from tests.gateway.coap.protected import DEVICE, KID, MASTER_KEYS, SECRET, credential


def test_an_echo_value_proves_one_context_for_a_while() -> None:
    echo, other = EchoValues(), EchoValues()
    value = echo.make(b"context1", 1000.5)
    assert len(value) == 12
    assert echo.proves(value, b"context1", 1000.5 + LIFETIME_S)
    assert not echo.proves(value, b"context1", 1002 + LIFETIME_S)
    assert not echo.proves(value, b"context1", 900)
    assert not echo.proves(value, b"context2", 1001)
    assert not other.proves(value, b"context1", 1001)
    for wrong in (b"", value[:4], value[:-1], value + b"\0", bytes(12)):
        assert not echo.proves(wrong, b"context1", 1001)


def test_one_context_is_asked_a_few_times_a_second_and_others_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded request of a context without a window can be played as often as somebody likes: each answer is sealed
    under a Partial IV that other meters' commands need."""
    monkeypatch.setattr(echo_module, "MAX_ASKED", 2)
    echo = EchoValues()
    assert [echo.ask(b"context1", 10.0) is None for _ in range(6)] == [False] * ASKED_PER_S + [True] * 2
    assert echo.ask(b"context2", 10.0) is not None
    assert echo.ask(b"context1", 10.9) is None
    value = echo.ask(b"context1", 11.0)
    assert value is not None
    assert echo.proves(value, b"context1", 11.0)
    for _ in range(ASKED_PER_S):
        echo.ask(b"context1", 11.0)
    assert echo.ask(b"context1", 11.0) is None
    for other in (b"context3", b"context4"):
        echo.ask(other, 11.0)
    assert echo.ask(b"context1", 11.0) is not None  # a full table forgets


def test_numbers_come_once_each_and_end() -> None:
    numbers = SenderNumbers()
    assert (numbers.take(), numbers.low) == (None, True)
    numbers.add(0)
    numbers.add(7)
    assert not numbers.low
    taken = [numbers.take() for _ in range(2 * LEASE)]
    assert taken[0] == b"\0"
    assert taken[256] == b"\x01\x00"
    assert [int.from_bytes(each or b"", "big") for each in taken] == [*range(LEASE), *range(7 * LEASE, 8 * LEASE)]
    assert numbers.take() is None
    numbers.add(MAX_LEASES - 1)
    while numbers.spare >= LOW:
        last = numbers.take()
    assert numbers.low
    while number := numbers.take():
        last = number
    assert last == b"\xff" * 5
    with pytest.raises(ValueError, match="no Partial IVs"):
        numbers.add(MAX_LEASES)


def test_answers_are_remembered_for_a_lifetime_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "MAX_SEALED", 2)
    memory = AnswerMemory()
    memory.remember(b"plain", Usual.PLAIN, 10)
    memory.remember(b"slow", Usual.SLOW, 10)
    for n in range(3):
        memory.remember(b"%d" % n, b"sealed %d" % n, 10)
    assert [memory.recall(each, 200) for each in (b"plain", b"slow", b"0", b"1", b"2", b"new")] == [
        Usual.PLAIN, Usual.SLOW, None, b"sealed 1", b"sealed 2", None,
    ]  # fmt: skip
    assert [memory.recall(each, 258) for each in (b"plain", b"slow", b"2")] == [None] * 3
    assert (len(memory), memory.evictions) == (2, 0)


def test_the_ring_is_bounded_and_knows_the_id_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "MAX_CACHED_CONTEXTS", 2)
    devices = Devices()
    with_context = MASTER_KEYS.seal(
        CredentialKind.OSCORE, b"\x50", OscoreSecret(SECRET, b"", b"city", b"\x01\x02").encode()
    )
    several = tuple(credential(bytes((n,))) for n in range(1, 5))
    devices.apply(RegistryEntry(DEVICE, (DEVICE,), (), ENABLED | HAS_KEY, (credential(KID), with_context, *several)))
    ring = KeyRing(devices, MASTER_KEYS)
    prints = set()
    for kid in (KID, *(bytes((n,)) for n in range(1, 5)), KID):
        holder = ring.find(kid, None)
        assert holder is not None
        assert holder.device == DEVICE
        prints.add(holder.context.fingerprint)
    assert (len(ring), len(prints)) == (2, 5)
    assert ring.find(KID, b"") is not None
    assert ring.find(KID, b"city") is None
    assert ring.find(b"\x50", b"city") is not None
    assert ring.find(b"\x50", None) is not None
    assert ring.find(b"\x50", b"town") is None
    assert ring.find(b"nobody", None) is None
    assert ring.unopened == 0


def test_refusals_say_the_rfcs_words() -> None:
    words = {refusals.NOT_DECODED.diagnostic, refusals.NO_CONTEXT.diagnostic, refusals.NOT_DECRYPTED.diagnostic}
    assert words == {b"Failed to decode COSE", b"Security context not found", b"Decryption failed"}
