"""Finds a device and its security context by the kid of a request. Pure.

Sealed keys come with the registry; opening one and deriving takes about 15 µs, so that a cache serves bursts and
retransmissions only, and a revoked or replaced key is gone with the registry entry: the cache is asked with the sealed
key that is valid now.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.coap.oscore.context import KEYS_BYTES, Context, Keys, derive
from gateway.devices import Devices
from gateway.key_uses import KeyUses
from metering.credentials import CredentialKind, MasterKeys, OscoreSecret
from metering.errors import CredentialError

MAX_CACHED_CONTEXTS = 131_072
"""Packed, about 300 bytes each. Beyond it the one derived longest ago goes."""

_SEAL_PRINT_BYTES = 8


class Holder(NamedTuple):
    """Whose key a request was sealed with, by canonical name."""

    device: str
    context: Context


class KeyRing:
    """`unopened` counts keys that did not open or are no context: the operator's mistake, not the meter's."""

    def __init__(self, devices: Devices, master_keys: MasterKeys, key_uses: KeyUses | None = None) -> None:
        self._devices, self._master_keys = devices, master_keys
        self._key_uses = KeyUses(devices) if key_uses is None else key_uses
        self._packed: dict[bytes, bytes] = {}
        self.unopened = 0

    def __len__(self) -> int:
        return len(self._packed)

    def find(self, kid: bytes, id_context: bytes | None) -> Holder | None:
        """None when nobody has this kid, or its key is not one of this ID Context (RFC 8613 section 8.2, step 2)."""
        found = self._devices.by_key(CredentialKind.OSCORE, kid)
        if found is None:
            return None
        device, credential = found
        seal_print = (hash(credential.sealed) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(_SEAL_PRINT_BYTES, "big")
        packed = self._packed.get(kid)
        if packed is None or not packed.startswith(seal_print):
            try:
                secret = OscoreSecret.decode(self._master_keys.open(credential))
                packed = seal_print + _pack(derive(secret, kid), secret)
            except CredentialError:
                self.unopened += 1
                return None
            self._keep(kid, packed)
        keys, server_id, expected = _unpack(packed[_SEAL_PRINT_BYTES:])
        if id_context is not None and id_context != expected:
            return None
        return Holder(device, Context(keys, kid, server_id))

    def proven(self, device: str, kid: bytes) -> None:
        """This device has shown, by a request that is not a replay, that it has this key."""
        self._key_uses.used(device, CredentialKind.OSCORE, kid)

    def _keep(self, kid: bytes, packed: bytes) -> None:
        self._packed.pop(kid, None)
        if len(self._packed) >= MAX_CACHED_CONTEXTS:
            del self._packed[next(iter(self._packed))]
        self._packed[kid] = packed


def _pack(keys: Keys, secret: OscoreSecret) -> bytes:
    return keys.pack() + bytes((len(secret.server_id),)) + secret.server_id + (secret.id_context or b"")


def _unpack(packed: bytes) -> tuple[Keys, bytes, bytes]:
    """Keys, our id, ID Context (empty for none)."""
    keys = Keys.unpack(packed)
    at = KEYS_BYTES
    return keys, packed[at + 1 : at + 1 + packed[at]], packed[at + 1 + packed[at] :]
