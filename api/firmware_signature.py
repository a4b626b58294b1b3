"""Whether an image is the maker's: Ed25519 over the whole image (RFC 8032)."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from metering.errors import RequestError, SettingsError


def load_key(file: str) -> Ed25519PublicKey:
    """Raises SettingsError."""
    if not file:
        raise SettingsError("firmware.public_key_file is not set: nobody could say whose an image is")
    try:
        key = load_pem_public_key(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"firmware.public_key_file {file}: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"firmware.public_key_file {file} holds no Ed25519 key")
    return key


def check(key: Ed25519PublicKey, image: bytes, signature: bytes) -> None:
    """Raises RequestError unless the key's owner signed exactly this image."""
    try:
        key.verify(signature, image)
    except InvalidSignature:
        raise RequestError("the signature does not belong to this image and key") from None
