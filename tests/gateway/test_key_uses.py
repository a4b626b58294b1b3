"""Only uses of keys that have a predecessor still valid are told."""

from __future__ import annotations

import asyncio

import pytest

from gateway import key_uses as module
from gateway.devices import Devices
from gateway.key_uses import KeyUses, tell_key_uses
from metering.credentials import Credential, CredentialKind
from metering.key_uses import KEYS_USED_SUBJECT, KeyUse, decode_uses
from metering.registry import ENABLED, HAS_KEY, RegistryEntry

OLD = Credential(CredentialKind.PSK, b"861", b"sealed")
NEW = Credential(CredentialKind.PSK, b"861~2", b"sealed")
OTHER = Credential(CredentialKind.MQTT, b"861", b"sealed")


def devices(*credentials: Credential) -> Devices:
    made = Devices()
    made.apply(RegistryEntry("861", ("861",), (), ENABLED | HAS_KEY, credentials))
    return made


def test_a_device_with_one_key_of_each_kind_tells_nothing() -> None:
    uses = KeyUses(devices(OLD, OTHER))
    uses.used("861", CredentialKind.PSK, b"861")
    uses.used("nobody", CredentialKind.PSK, b"861")
    assert uses.drain() == []


def test_a_device_between_two_keys_tells_which_it_used() -> None:
    known = devices(OLD, NEW)
    uses = KeyUses(known)
    for _ in range(3):
        uses.used("861", CredentialKind.PSK, b"861~2")
    assert uses.drain() == [KeyUse(CredentialKind.PSK, b"861~2")]
    known.apply(RegistryEntry("861", ("861",), (), ENABLED | HAS_KEY, (NEW,)))
    uses.used("861", CredentialKind.PSK, b"861~2")
    assert uses.drain() == []


async def test_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    uses, told = KeyUses(devices(OLD, NEW)), asyncio.Queue()

    async def tell(subject: str, body: bytes) -> None:
        told.put_nowait((subject, body))

    task = asyncio.create_task(tell_key_uses(uses, tell))
    uses.used("861", CredentialKind.PSK, b"861~2")
    subject, body = await asyncio.wait_for(told.get(), 30)
    task.cancel()
    assert (subject, decode_uses(body)) == (KEYS_USED_SUBJECT, [KeyUse(CredentialKind.PSK, b"861~2")])
