"""Which keys were used while an older one of the same device is still valid, as gateways tell it on NATS. Pure.

Subject ``keys.used``, a CBOR array of ``[kind, key id]``. Told and forgotten: while both keys are valid each use tells
it again, so that a message that is lost costs one report's time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cbor2

from metering.credentials import MAX_KEY_ID_BYTES, CredentialKind
from metering.errors import EnvelopeError

KEYS_USED_SUBJECT = "keys.used"
MAX_USES = 1024
"""Keys in one message."""

MAX_BYTES = 128 * 1024


class KeyUse(NamedTuple):
    kind: CredentialKind
    key_id: bytes


def encode_uses(uses: Iterable[KeyUse]) -> bytes:
    return cbor2.dumps([[int(use.kind), use.key_id] for use in uses])


def decode_uses(body: bytes) -> list[KeyUse]:
    """At most MAX_USES. Raises EnvelopeError."""
    if len(body) > MAX_BYTES:
        raise EnvelopeError(f"uses of keys of {len(body)} bytes")
    try:
        return [_use(kind, key_id) for kind, key_id in cbor2.loads(body)[:MAX_USES]]
    except Exception as error:
        raise EnvelopeError(f"no list of uses of keys: {type(error).__name__}") from error


def _use(kind: int, key_id: bytes) -> KeyUse:
    if not isinstance(key_id, bytes) or len(key_id) > MAX_KEY_ID_BYTES:
        raise ValueError("no key id")
    return KeyUse(CredentialKind(kind), key_id)
