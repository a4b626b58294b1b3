"""Device keys before they are sealed: made here or by a factory, shown once to whoever puts them into the meter. Pure.

Nothing keeps a `PlainKey`: it is sealed, written to the one file or answer that asked for it, and forgotten.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import NamedTuple

from metering.credentials import MAX_KEY_ID_BYTES, Credential, CredentialKind, MasterKeys, OscoreSecret

OSCORE_ID_BYTES = 5
"""Of a device's Sender ID. RFC 8613 section 3.3 allows 7 with AES-CCM-16-64-128; 40 random bits are unique often enough
that a collision is a retry, and two bytes less go over the air in each report."""

OSCORE_ID_BYTES_MAX = 7
OSCORE_SECRET_BYTES = 16
OSCORE_SALT_BYTES = 8
PSK_BYTES = 16
PASSWORD_BYTES = 32
URN_IMEI = "urn:imei:"
_NUMBER = re.compile(r"~(\d{1,6})\Z")
"""What tells the keys of one device apart: no name of a device or meter has this character."""

KINDS = {kind.name.lower(): kind for kind in CredentialKind}
"""By the word that files, commands and REST use."""


class PlainKey(NamedTuple):
    """A key with its secret. `key`: OSCORE's master secret, the PSK, or the password in ASCII; the rest is OSCORE's."""

    kind: CredentialKind
    key_id: bytes
    key: bytes
    salt: bytes = b""
    id_context: bytes | None = None
    server_id: bytes = b""

    def __repr__(self) -> str:
        return f"PlainKey({self.kind.name}, {self.shown_id})"

    @property
    def shown_id(self) -> str:
        return shown_key_id(self.kind, self.key_id)

    @property
    def shown_key(self) -> str:
        """Hexadecimal; a password as it is typed."""
        return self.key.decode("ascii") if self.kind is CredentialKind.MQTT else self.key.hex()

    def seal(self, keys: MasterKeys) -> Credential:
        if self.kind is CredentialKind.OSCORE:
            secret = OscoreSecret(self.key, self.salt, self.id_context, self.server_id).encode()
        else:
            secret = self.key
        return keys.seal(self.kind, self.key_id, secret)


def new_key(kind: CredentialKind, device: str, urn: bool = False, taken: Iterable[bytes] = ()) -> PlainKey:
    """A key made from the system's random numbers.

    `device`: its canonical name, from which the id of a PSK or password comes, as ``urn:imei:…`` when `urn` and the
    name is an IMEI. `taken`: ids that the device had before; the new one has another, since a key is found by its id.
    """
    if kind is CredentialKind.OSCORE:
        key, salt = secrets.token_bytes(OSCORE_SECRET_BYTES), secrets.token_bytes(OSCORE_SALT_BYTES)
        return PlainKey(kind, secrets.token_bytes(OSCORE_ID_BYTES), key, salt)
    name = f"{URN_IMEI}{device}" if urn and re.fullmatch(r"\d{15}", device) else device
    key = secrets.token_bytes(PSK_BYTES) if kind is CredentialKind.PSK else _password()
    return PlainKey(kind, _next_id(name, taken), key)


def shown_key_id(kind: CredentialKind, key_id: bytes) -> str:
    """As people read and write it: a Sender ID in hexadecimal, an identity or user name as text."""
    return key_id.hex() if kind is CredentialKind.OSCORE else key_id.decode("utf-8", "replace")


def _password() -> bytes:
    """It begins with a letter or digit: a spreadsheet would take a leading ``-`` for a formula."""
    while not (made := secrets.token_urlsafe(PASSWORD_BYTES))[0].isalnum():
        pass
    return made.encode()


def _next_id(name: str, taken: Iterable[bytes]) -> bytes:
    """The name, or, where the device had keys, the name with the number after theirs."""
    numbers = []
    for key_id in taken:
        found = _NUMBER.search(key_id.decode("utf-8", "replace"))
        numbers.append(int(found[1]) if found else 1)
    made = name.encode() if not numbers else f"{name}~{max(numbers) + 1}".encode()
    if len(made) > MAX_KEY_ID_BYTES:
        raise ValueError(f"a key id has at most {MAX_KEY_ID_BYTES} bytes")
    return made
