"""Keys by id and by device, whatever order they come and go in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.devices import Devices
from gateway.keys import DeviceKeys
from metering.credentials import Credential, CredentialKind
from metering.registry import ENABLED, HAS_KEY, RegistryEntry


def key(key_id: bytes, sealed: bytes = b"sealed", kind: CredentialKind = CredentialKind.OSCORE) -> Credential:
    return Credential(kind, key_id, sealed)


@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 8)))))
def test_it_is_a_table_of_owners(steps: list[tuple[int, set[int]]]) -> None:
    keys, model = DeviceKeys(), {}
    for device, ids in steps:
        model = {key_id: owner for key_id, owner in model.items() if owner != device} | dict.fromkeys(ids, device)
        keys.set(device, [key(bytes((key_id,))) for key_id in ids])
    for key_id in range(9):
        found = keys.find(CredentialKind.OSCORE, bytes((key_id,)))
        assert (found[0] if found else None) == model.get(key_id)
    for device in range(6):
        assert {c.key_id[0] for c in keys.of(device)} == {k for k, owner in model.items() if owner == device}


def test_devices_are_found_by_their_keys_and_lose_them() -> None:
    devices = Devices()
    rotating = (key(b"\x01", b"old"), key(b"\x02", b"new"), key(b"dev", b"psk", CredentialKind.PSK))
    devices.apply(RegistryEntry("dev", ("dev",), (), ENABLED | HAS_KEY, rotating, "Maker M1"))
    assert devices.by_key(CredentialKind.OSCORE, b"\x02") == ("dev", key(b"\x02", b"new"))
    assert devices.by_key(CredentialKind.MQTT, b"\x02") is None
    assert set(devices.credentials("dev")) == set(rotating)
    assert devices.model("dev") == "Maker M1"
    devices.apply(RegistryEntry("dev", ("dev",), (), ENABLED, ()))
    assert devices.by_key(CredentialKind.OSCORE, b"\x02") is None
    assert devices.credentials("dev") == ()
    assert devices.waste == 3
    devices.apply(RegistryEntry("dev", ("dev",), (), 0, ()))
    assert devices.credentials("dev") == devices.credentials("nobody") == ()
    assert devices.model("nobody") == ""
