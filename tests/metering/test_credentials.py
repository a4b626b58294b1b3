"""Sealed keys: what was sealed opens, and nothing else does."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from pydantic import SecretStr

from metering.credentials import CredentialKind, MasterKeys, OscoreSecret, load_master_keys
from metering.errors import CredentialError, SettingsError
from metering.settings import KeysSettings


def test_a_sealed_key_opens() -> None:
    keys = MasterKeys({0: secrets.token_bytes(32)})
    sealed = keys.seal(CredentialKind.PSK, b"861234567890123", b"secret")
    assert keys.open(sealed) == b"secret"
    assert b"secret" not in sealed.sealed


def test_a_newer_master_key_seals_and_the_older_still_opens() -> None:
    older, newer = secrets.token_bytes(32), secrets.token_bytes(32)
    sealed = MasterKeys({0: older}).seal(CredentialKind.PSK, b"a", b"s")
    both = MasterKeys({0: older, 1: newer})
    assert both.open(sealed) == b"s"
    with pytest.raises(CredentialError):
        MasterKeys({0: older}).open(both.seal(CredentialKind.PSK, b"a", b"s"))


@pytest.mark.parametrize("change", [{"kind": CredentialKind.MQTT}, {"key_id": b"b"}, {"sealed": b""}])
def test_a_key_that_was_moved_does_not_open(change: dict[str, object]) -> None:
    keys = MasterKeys({0: secrets.token_bytes(32)})
    sealed = keys.seal(CredentialKind.PSK, b"a", b"s")
    with pytest.raises(CredentialError):
        keys.open(sealed._replace(**change))  # type: ignore[arg-type]  # by name


def test_an_oscore_secret_comes_back() -> None:
    secret = OscoreSecret(b"m" * 16, b"salt", None, b"\x01")
    assert OscoreSecret.decode(secret.encode()) == secret
    with pytest.raises(CredentialError):
        OscoreSecret.decode(b"\xff")


def test_master_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "master.keys"
    file.write_text(f"0 {'00' * 32}\n1 {'11' * 32}\n")
    keys = load_master_keys(KeysSettings(master_file=str(file)))
    assert keys is not None
    assert repr(keys) == "MasterKeys([0, 1])"
    assert load_master_keys(KeysSettings()) is None


@pytest.mark.parametrize("line", ["0 zz", "x " + "00" * 32, "0 0011"])
def test_a_bad_master_key_is_refused_and_not_repeated(tmp_path: Path, line: str) -> None:
    file = tmp_path / "master.keys"
    file.write_text(line)
    with pytest.raises(SettingsError) as refused:
        load_master_keys(KeysSettings(master_file=str(file)))
    assert line.split()[1] not in str(refused.value).replace(str(file), "")
    with pytest.raises(SettingsError):
        load_master_keys(KeysSettings(master=SecretStr("no hex")))
