"""From a pre-shared key and a handshake's messages to the keys of its records (RFC 5246, RFC 4279, RFC 7627). Pure.

Only suites whose pseudo-random function is SHA-256 and whose records are sealed by AES-128 with CCM or GCM.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

KEY_BYTES, SALT_BYTES = 16, 4
BLOCK_BYTES = 2 * (KEY_BYTES + SALT_BYTES)
MASTER_BYTES = 48


class Suite(NamedTuple):
    """A cipher suite. `name`: as Mbed TLS has it. `tag_bytes`: of the tag behind a sealed plaintext."""

    name: str
    tag_bytes: int
    aead: Callable[[bytes], AESCCM | AESGCM]


SUITES: Mapping[int, Suite] = MappingProxyType({
    0xC0A8: Suite("TLS-PSK-WITH-AES-128-CCM-8", 8, lambda key: AESCCM(key, 8)),
    0xC0A4: Suite("TLS-PSK-WITH-AES-128-CCM", 16, AESCCM),
    0x00A8: Suite("TLS-PSK-WITH-AES-128-GCM-SHA256", 16, AESGCM),
})  # fmt: skip
"""In order of preference: CCM_8 is what LwM2M and RFC 7925 section 4.2 demand of devices. (RFC 6655, RFC 5487.)"""


def premaster_secret(psk: bytes) -> bytes:
    """RFC 4279 section 2, of a handshake with nothing but the pre-shared key."""
    length = len(psk).to_bytes(2, "big")
    return length + bytes(len(psk)) + length + psk


def master_secret(psk: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """RFC 5246 section 8.1."""
    return prf(premaster_secret(psk), b"master secret", client_random + server_random, MASTER_BYTES)


def extended_master_secret(psk: bytes, messages: bytes) -> bytes:
    """RFC 7627 section 4. `messages`: the handshake up to and with the ClientKeyExchange."""
    return prf(premaster_secret(psk), b"extended master secret", hashlib.sha256(messages).digest(), MASTER_BYTES)


def key_block(master: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """RFC 5246 section 6.3: the client's key, the server's key, the client's salt, the server's salt."""
    return prf(master, b"key expansion", server_random + client_random, BLOCK_BYTES)


def prf(secret: bytes, label: bytes, seed: bytes, size_bytes: int) -> bytes:
    """RFC 5246 section 5, with SHA-256."""
    seed, out = label + seed, b""
    chained = seed
    while len(out) < size_bytes:
        chained = hmac.digest(secret, chained, "sha256")
        out += hmac.digest(secret, chained + seed, "sha256")
    return out[:size_bytes]
