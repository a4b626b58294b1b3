"""Keys that are made: different, shown without a secret where it is not asked for, and open as they were sealed."""

from __future__ import annotations

import secrets

import pytest

from metering.credentials import CredentialKind, MasterKeys, OscoreSecret
from metering.new_keys import KINDS, OSCORE_ID_BYTES, PlainKey, new_key, shown_key_id

IMEI = "861234567890123"
MASTER = MasterKeys({0: secrets.token_bytes(32)})


def test_an_oscore_key_seals_its_context() -> None:
    key = new_key(CredentialKind.OSCORE, IMEI)
    assert (len(key.key_id), len(key.key), len(key.salt)) == (OSCORE_ID_BYTES, 16, 8)
    assert OscoreSecret.decode(MASTER.open(key.seal(MASTER))) == OscoreSecret(key.key, key.salt, None, b"")
    assert new_key(CredentialKind.OSCORE, IMEI).key != key.key


@pytest.mark.parametrize("kind", [CredentialKind.PSK, CredentialKind.MQTT])
def test_other_keys_are_named_by_their_device(kind: CredentialKind) -> None:
    key = new_key(kind, IMEI)
    assert key.key_id == IMEI.encode()
    assert MASTER.open(key.seal(MASTER)) == key.key
    assert new_key(kind, IMEI, urn=True).key_id == f"urn:imei:{IMEI}".encode()
    assert new_key(kind, "20260001", urn=True).key_id == b"20260001"


def test_the_next_key_of_a_device_has_the_next_number() -> None:
    taken = [IMEI.encode()]
    for expected in (f"{IMEI}~2", f"{IMEI}~3", f"{IMEI}~4"):
        key = new_key(CredentialKind.PSK, IMEI, taken=taken)
        assert key.shown_id == expected
        taken.append(key.key_id)
    assert new_key(CredentialKind.PSK, IMEI, taken=[b"factory identity"]).shown_id == f"{IMEI}~2"


def test_a_password_is_text_that_no_spreadsheet_takes_for_a_formula() -> None:
    for _ in range(200):
        password = new_key(CredentialKind.MQTT, IMEI).shown_key
        assert password[0].isalnum()
        assert len(password) >= 43


@pytest.mark.parametrize("kind", CredentialKind)
def test_a_key_does_not_show_its_secret_by_itself(kind: CredentialKind) -> None:
    key = new_key(kind, IMEI)
    for text in (repr(key), str(key), f"{key}", repr([key])):
        assert key.shown_key not in text
        assert key.salt.hex() not in text or not key.salt
        assert repr(key.key)[2:-1] not in text


def test_ids_are_shown_as_they_are_written() -> None:
    assert shown_key_id(CredentialKind.OSCORE, b"\x01\xff") == "01ff"
    assert shown_key_id(CredentialKind.PSK, "表".encode()) == "表"
    assert KINDS["psk"] is CredentialKind.PSK


def test_a_name_too_long_for_an_id_is_said() -> None:
    with pytest.raises(ValueError, match="64"):
        new_key(CredentialKind.PSK, "x" * 65)


def test_a_salt_is_not_said() -> None:
    assert "aabb" not in repr(PlainKey(CredentialKind.OSCORE, b"\x01", b"k" * 16, b"\xaa\xbb"))
