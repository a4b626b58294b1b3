"""Peers that are vouched for: as which device, and for whom they may not speak."""

from __future__ import annotations

import pytest

from gateway.coap.peers import SecurePeer, door_of, source_of, vouched
from gateway.devices import Devices
from gateway.intake import Intake
from metering.errors import RegistryNotLoadedError, UnauthorisedError
from metering.model import Authentication, Door
from metering.registry import ENABLED, HAS_KEY, RegistryEntry

PLAIN = ("10.0.0.1", 5)
SECURE = SecurePeer("10.0.0.1", 5, PLAIN, "861", "urn:imei:861", Authentication.DTLS, lambda *_: None)


def test_who_is_vouched_for() -> None:
    devices = Devices()
    intake = Intake(devices, custody=None)  # type: ignore[arg-type]  # nothing is taken
    with pytest.raises(RegistryNotLoadedError):
        vouched(intake, "861", SECURE, 1)
    devices.apply(RegistryEntry("861", ("861", "4440"), (), ENABLED | HAS_KEY))
    devices.apply(RegistryEntry("862", ("862",), (), ENABLED | HAS_KEY))
    devices.ready = devices.complete = True
    assert vouched(intake, "862", PLAIN, 1) is None
    assert vouched(intake, "861", SECURE, 1) == vouched(intake, "4440", SECURE, 1) == Authentication.DTLS
    for name in ("862", "nobody"):
        with pytest.raises(UnauthorisedError):
            vouched(intake, name, SECURE, 1)


def test_the_source_says_who_spoke() -> None:
    assert source_of("[fe80::1]", PLAIN) == "[fe80::1]:5"
    assert source_of("10.0.0.1", SECURE) == "10.0.0.1:5 as urn:imei:861"


def test_each_protection_is_a_door_of_its_own() -> None:
    doors = {authentication: door_of(authentication) for authentication in (None, *Authentication)}
    assert (doors[Authentication.OSCORE], doors[Authentication.DTLS]) == (Door.OSCORE, Door.DTLS)
    assert {door for of, door in doors.items() if of not in (Authentication.OSCORE, Authentication.DTLS)} == {Door.COAP}
