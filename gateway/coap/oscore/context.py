"""A security context of RFC 8613: keys derived (section 3.2), nonces (5.2), additional data (5.4). Pure.

AES-CCM-16-64-128 and HKDF SHA-256 only: what section 3.2 makes the default and meters have in hardware.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from gateway.coap.oscore.option import MAX_ID_BYTES
from metering.credentials import OscoreSecret
from metering.errors import CredentialError

KEY_BYTES = 16
NONCE_BYTES = 13
TAG_BYTES = 8
MASTER_SECRET_MIN_BYTES = 16
"""Section 3.2.1 leaves it to the profile; less than the key itself has would be a weak key."""
MASTER_SALT_MAX_BYTES = ID_CONTEXT_MAX_BYTES = 255

_ALGORITHM = 10  # AES-CCM-16-64-128 (COSE)
_PRINT_BYTES = 8
KEYS_BYTES = 2 * KEY_BYTES + NONCE_BYTES + _PRINT_BYTES
_AAD_HEAD = b"\x83\x68Encrypt0\x40"
"""["Encrypt0", h'', …] (RFC 8152 section 5.3)."""
_ARRAY_HEAD = b"\x85\x01\x81" + bytes((_ALGORITHM,))
"""[1, [10], …]: OSCORE version and algorithm (section 5.4)."""


class Keys(NamedTuple):
    """What section 3.2 derives, seen from here: the meter's Sender Key is our recipient key. `fingerprint`: 8 bytes
    that tell these keys from any others and say nothing of them."""

    recipient_key: bytes
    sender_key: bytes
    common_iv: bytes
    fingerprint: bytes

    def pack(self) -> bytes:
        return b"".join(self)

    @classmethod
    def unpack(cls, packed: bytes) -> Keys:
        iv_at = 2 * KEY_BYTES
        print_at = iv_at + NONCE_BYTES
        return cls(packed[:KEY_BYTES], packed[KEY_BYTES:iv_at], packed[iv_at:print_at], packed[print_at:KEYS_BYTES])


def derive(secret: OscoreSecret, kid: bytes) -> Keys:
    """The keys between us and the device whose Sender ID is `kid`. Raises CredentialError for what is no context."""
    _check(secret, kid)
    key = hmac.digest(secret.master_salt or bytes(32), secret.master_secret, "sha256")

    def expand(identity: bytes, name: str, size: int) -> bytes:
        info = _info(identity, secret.id_context, name, size)
        return hmac.digest(key, info + b"\x01", "sha256")[:size]

    recipient_key = expand(kid, "Key", KEY_BYTES)
    fingerprint = hashlib.sha256(b"nbwater replay window" + recipient_key).digest()[:_PRINT_BYTES]
    return Keys(
        recipient_key, expand(secret.server_id, "Key", KEY_BYTES), expand(b"", "IV", NONCE_BYTES), fingerprint
    )  # fmt: skip


def _check(secret: OscoreSecret, kid: bytes) -> None:
    """Section 3.3: the two ids differ and have at most 7 bytes."""
    parts = (secret.master_secret, secret.master_salt, secret.id_context or b"", secret.server_id)
    if not all(isinstance(part, bytes) for part in parts):
        raise CredentialError("an OSCORE secret is not of byte strings")
    if len(kid) > MAX_ID_BYTES or len(secret.server_id) > MAX_ID_BYTES or kid == secret.server_id:
        raise CredentialError("the ids of an OSCORE context are too long or the same")
    if len(secret.master_secret) < MASTER_SECRET_MIN_BYTES:
        raise CredentialError("the master secret of an OSCORE context is too short")
    if len(secret.master_salt) > MASTER_SALT_MAX_BYTES or len(secret.id_context or b"") > ID_CONTEXT_MAX_BYTES:
        raise CredentialError("salt or ID Context of an OSCORE context is too long")


def _info(identity: bytes, id_context: bytes | None, name: str, size: int) -> bytes:
    """Section 3.2.1: [id, id_context or nil, algorithm, type, L] in CBOR."""
    context = b"\xf6" if id_context is None else _bytes(id_context)
    return b"\x85" + _bytes(identity) + context + bytes((_ALGORITHM, 0x60 | len(name))) + name.encode() + bytes((size,))


def _bytes(value: bytes) -> bytes:
    """CBOR of a byte string up to 255 bytes."""
    return (bytes((0x40 | len(value),)) if len(value) < 24 else bytes((0x58, len(value)))) + value


class Context:
    """Opens a device's requests and seals our answers to them, and the other way round."""

    __slots__ = ("_additional", "_common_iv", "_keys", "fingerprint", "kid", "server_id")

    def __init__(self, keys: Keys, kid: bytes, server_id: bytes) -> None:
        self._keys, self.kid, self.server_id = keys, kid, server_id
        self._common_iv = int.from_bytes(keys.common_iv, "big")
        self.fingerprint = keys.fingerprint
        self._additional = (b"", b"")

    def open(self, number: bytes, ciphertext: bytes) -> bytes | None:
        """The plaintext of a request under this Partial IV; None when it was not sealed with our keys."""
        if len(ciphertext) <= TAG_BYTES:
            return None
        cipher = AESCCM(self._keys.recipient_key, tag_length=TAG_BYTES)
        try:
            return cipher.decrypt(self._nonce(self.kid, number), ciphertext, self.additional_data(number))
        except InvalidTag:
            return None

    def seal(self, request_number: bytes, plaintext: bytes, number: bytes = b"") -> bytes:
        """An answer to the request with this Partial IV, under `number` of ours, else under the request's nonce.

        The caller sees to it that no nonce meets two plaintexts (section 8.3).
        """
        nonce = self._nonce(self.server_id, number) if number else self._nonce(self.kid, request_number)
        cipher = AESCCM(self._keys.sender_key, tag_length=TAG_BYTES)
        return cipher.encrypt(nonce, plaintext, self.additional_data(request_number))

    def protect(self, number: bytes, plaintext: bytes) -> bytes:
        """A request of ours under `number` of ours."""
        cipher = AESCCM(self._keys.sender_key, tag_length=TAG_BYTES)
        return cipher.encrypt(self._nonce(self.server_id, number), plaintext, _additional(self.server_id, number))

    def open_answer(self, request_number: bytes, ciphertext: bytes, number: bytes = b"") -> bytes | None:
        """The plaintext of the device's answer to our request with this Partial IV, under `number` of its own or under
        the request's nonce; None when it was not sealed so."""
        if len(ciphertext) <= TAG_BYTES:
            return None
        nonce = self._nonce(self.kid, number) if number else self._nonce(self.server_id, request_number)
        cipher = AESCCM(self._keys.recipient_key, tag_length=TAG_BYTES)
        try:
            return cipher.decrypt(nonce, ciphertext, _additional(self.server_id, request_number))
        except InvalidTag:
            return None

    def additional_data(self, request_number: bytes) -> bytes:
        """Section 5.4: of the request and of each answer to it; there are no class I options."""
        number, made = self._additional
        if number == request_number:  # that of an answer is that of its request
            return made
        made = _additional(self.kid, request_number)
        self._additional = (request_number, made)
        return made

    def _nonce(self, identity: bytes, number: bytes) -> bytes:
        """Section 5.2: length of the id, id and number, both padded to the left, over the Common IV."""
        said = len(identity) << 96 | int.from_bytes(identity, "big") << 40 | int.from_bytes(number, "big")
        return (self._common_iv ^ said).to_bytes(NONCE_BYTES, "big")


def _additional(kid: bytes, request_number: bytes) -> bytes:
    """Section 5.4: of whoever asked."""
    size = len(request_number)
    array = _ARRAY_HEAD + bytes((0x40 | len(kid),)) + kid + bytes((0x40 | size,)) + request_number + b"\x40"
    return _AAD_HEAD + bytes((0x40 | len(array),)) + array
