"""Device keys as they lie and travel: sealed with the utility's master key (AES-256-GCM), opened only where used.

A sealed key is ``number (1 byte) | nonce (12) | ciphertext and tag``. `number` says which master key sealed it, so that
the master key can be replaced while old seals are still about. Kind and key id are authenticated with it: a sealed key
moved to another id does not open. What is inside: of OSCORE a CBOR map (`OscoreSecret`), of the others the bytes of the
key itself. Nothing here ever appears in a log.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from metering.errors import CredentialError, SettingsError
from metering.settings import KeysSettings

MASTER_KEY_BYTES = 32
NONCE_BYTES = 12
MAX_KEY_ID_BYTES = 64
CHANGE_LOCK = 0x6E626B657973
"""Advisory lock in the database of whoever makes or replaces keys ("nbkeys" in ASCII)."""


class CredentialKind(IntEnum):
    """What a key is for. The value is what the database and the registry feed hold."""

    OSCORE = 1
    """RFC 8613; the key id is the device's Sender ID, at most 7 bytes (AES-CCM-16-64-128)."""
    PSK = 2
    """DTLS 1.2 pre-shared key (RFC 4279); the key id is the PSK identity."""
    MQTT = 3
    """Password of the MQTT listener; the key id is the user name."""


class Credential(NamedTuple):
    """One sealed key of a device."""

    kind: CredentialKind
    key_id: bytes
    sealed: bytes


class OscoreSecret(NamedTuple):
    """Inputs of RFC 8613 section 3.2. `server_id`: our Sender ID in this context."""

    master_secret: bytes
    master_salt: bytes = b""
    id_context: bytes | None = None
    server_id: bytes = b""

    def encode(self) -> bytes:
        return cbor2.dumps(list(self))

    @classmethod
    def decode(cls, secret: bytes) -> OscoreSecret:
        """Raises CredentialError."""
        try:
            return cls(*cbor2.loads(secret))
        except (cbor2.CBORError, TypeError, ValueError) as error:
            raise CredentialError("an OSCORE secret cannot be read") from error


class MasterKeys:
    """The utility's master keys by number; `seal` uses the highest."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Raises SettingsError for keys that are none."""
        if not keys:
            raise SettingsError("keys.master_file: there is no master key")
        if any(len(key) != MASTER_KEY_BYTES for key in keys.values()) or not all(0 <= n < 256 for n in keys):
            raise SettingsError(f"a master key has {MASTER_KEY_BYTES} bytes and a number from 0 to 255")
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}
        self._newest = max(keys)

    def __repr__(self) -> str:
        return f"MasterKeys({sorted(self._ciphers)})"

    @property
    def newest(self) -> int:
        """The number of the one that seals."""
        return self._newest

    def seal(self, kind: CredentialKind, key_id: bytes, secret: bytes) -> Credential:
        """`secret` as the module says."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, secret, _bound(kind, key_id))
        return Credential(kind, key_id, bytes((self._newest,)) + nonce + sealed)

    def open(self, credential: Credential) -> bytes:
        """The secret. Raises CredentialError when none of the master keys opens it."""
        sealed = credential.sealed
        cipher = self._ciphers.get(sealed[0]) if sealed else None
        if cipher is None:
            raise CredentialError("a key is sealed with a master key that is not here")
        try:
            return cipher.decrypt(
                sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], _bound(credential.kind, credential.key_id)
            )
        except (InvalidTag, ValueError) as error:
            raise CredentialError("a sealed key does not open") from error


def _bound(kind: CredentialKind, key_id: bytes) -> bytes:
    return bytes((kind,)) + key_id


def load_master_keys(settings: KeysSettings) -> MasterKeys | None:
    """From `keys.master` (one key, number 0) or `keys.master_file`: lines ``number hex``. None when neither is set.

    Raises SettingsError, which never repeats what it read.
    """
    text = settings.master.get_secret_value()
    if text:
        return MasterKeys({0: _key(text, "keys.master")})
    if not settings.master_file:
        return None
    try:
        lines = Path(settings.master_file).read_text("ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"keys.master_file {settings.master_file} cannot be read: {type(error).__name__}") from None
    return MasterKeys(dict(_numbered(line, settings.master_file) for line in lines if line.strip()))


def _numbered(line: str, file: str) -> tuple[int, bytes]:
    number, _, text = line.strip().partition(" ")
    if not number.isdecimal():
        raise SettingsError(f"keys.master_file {file}: a line is `number key`, the key as 64 hexadecimal digits")
    return int(number), _key(text, f"keys.master_file {file}")


def _key(text: str, where: str) -> bytes:
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        raise SettingsError(f"{where}: a master key is 64 hexadecimal digits") from None
