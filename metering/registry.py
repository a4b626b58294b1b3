"""What a gateway must know of a device, and how it travels (DESIGN section 3.8).

The snapshot is one object of the object store, a CBOR array of entries; its header ``Nbwater-Feed-Position`` names the
last message of the feed that it contains. The feed is a stream of changes, each a CBOR array of entries too. An entry
always states the device's whole current self, so that applying it twice, or applying one that a snapshot already
contains, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import cbor2

from metering.credentials import Credential, CredentialKind
from metering.errors import EnvelopeError

FEED_POSITION_HEADER = "Nbwater-Feed-Position"
FEED_CREATED_HEADER = "Nbwater-Feed-Created"
"""When the stream was made in which the position counts: a stream made anew counts from 1 again."""

SNAPSHOT_OBJECT = "snapshot"
_ABSENT: tuple[Any, ...] = ((), "", ())
ENABLED = 1
HAS_KEY = 2
WAS_PUSHED = 4
"""A product is bound to the device, or was."""


class RegistryEntry(NamedTuple):
    """`names`: every name the device may call itself by (IMEI, serial). `plain_sources`: networks in CIDR notation
    from which it may speak without a key; empty means never. A device that is not enabled is as good as unknown.
    `credentials`: its sealed keys; several of one kind while keys are exchanged. `model`: maker and model of its meter,
    by which doors choose what differs between models; empty where nobody said. `pushers`: names of the push products
    that may speak for it."""

    device: str
    names: tuple[str, ...]
    plain_sources: tuple[str, ...]
    flags: int
    credentials: tuple[Credential, ...] = ()
    model: str = ""
    pushers: tuple[str, ...] = ()

    @property
    def enabled(self) -> bool:
        return bool(self.flags & ENABLED)

    @property
    def has_key(self) -> bool:
        return bool(self.flags & HAS_KEY)

    @property
    def only_bound(self) -> bool:
        """Whether no product may speak for it but one that it is bound to."""
        return bool(self.flags & (HAS_KEY | WAS_PUSHED))


def encode_entries(entries: Iterable[RegistryEntry]) -> bytes:
    """A CBOR array of entries."""
    return cbor2.dumps([list(entry) for entry in entries])


def decode_entries(body: bytes) -> list[RegistryEntry]:
    """The entries of `encode_entries`. Raises EnvelopeError when the body is something else."""
    try:
        return [entry_of(row) for row in cbor2.loads(body)]
    except EnvelopeError:
        raise
    except Exception as error:
        raise EnvelopeError(f"not a list of registry entries: {error}") from error


def entry_of(row: Any) -> RegistryEntry:
    """One decoded element of the array. Raises EnvelopeError when it is no entry."""
    try:
        device, names, plain_sources, flags = row[:4]
        keys, model, pushers = tuple(row[4:]) + _ABSENT[len(row) - 4 :]  # a snapshot of an earlier release has fewer
        credentials = tuple(Credential(CredentialKind(kind), bytes(key), bytes(seal)) for kind, key, seal in keys)
        return RegistryEntry(
            str(device), tuple(names), tuple(plain_sources), int(flags), credentials, str(model),
            tuple(map(str, pushers)),
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError) as error:
        raise EnvelopeError(f"not a registry entry: {error}") from error
