"""What a client says when it registers, and what is kept of it (LwM2M core 1.0 section 5.3, 1.2 section 6.2). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import cbor2

from gateway.coap.lwm2m.links import Offer

DEFAULT_LIFETIME_S = 86_400
"""LwM2M core: "If Lifetime parameter is not included, the default value is 86400"."""

MAX_LIFETIME_S = 90 * 86_400
"""A client that asks for longer, or for ever (0), is heard of so often or counts as gone."""

LEGACY_LIFETIME_S = 7 * 86_400
"""A module of /t/r names none and registers when it starts; its reports extend it."""

MAX_ENDPOINT = 128
MAX_SMS = 32
ID_BYTES = 7
MAX_OBSERVED = 120
"""Paths with a token of their own: see `gateway.coap.lwm2m.tokens`."""

_IMEI_URN = re.compile(r"urn:imei(?:-imsi|-msisdn)?:(\d{14,17})(?:-\d+)?", re.IGNORECASE)
_RECORD_VERSION = 1


class Query(NamedTuple):
    """Uri-Query of a registration or update; None: not said. `binding`: upper case, without Q; `queue`: Q was said."""

    endpoint: str | None = None
    lifetime_s: int | None = None
    version: str | None = None
    binding: str | None = None
    queue: bool | None = None


def read_query(parts: Iterable[bytes]) -> Query:
    """Order is free, unknown parameters are left out, ``Q`` may stand alone or in ``b``. Never raises."""
    said: dict[str, str] = {}
    for part in parts:
        name, _, value = part.decode("utf-8", "replace").partition("=")
        said.setdefault(name.strip().lower(), value.strip())
    binding = said.get("b")
    queue = None if binding is None and "q" not in said else "q" in said or "Q" in (binding or "").upper()
    lifetime = said.get("lt", "")
    return Query(
        said["ep"][:MAX_ENDPOINT] if said.get("ep") else None,
        _bounded(int(lifetime)) if lifetime.isascii() and lifetime.isdecimal() and len(lifetime) < 12 else None,
        said.get("lwm2m"),
        None if binding is None else binding.upper().replace("Q", "")[:8],
        queue,
    )


def _bounded(lifetime_s: int) -> int:
    return min(lifetime_s, MAX_LIFETIME_S) or MAX_LIFETIME_S


def names_of(endpoint: str) -> Iterator[str]:
    """Names under which the registry may know this endpoint, the likeliest first: the IMEI in ``urn:imei:…``,
    ``urn:imei-imsi:A-B`` and ``IMEI;IMSI``, then the endpoint as it is."""
    urn = _IMEI_URN.fullmatch(endpoint)
    if urn is not None:
        yield urn[1]
    elif ";" in endpoint:
        yield endpoint.partition(";")[0]
    yield endpoint


def version_of(text: str | None) -> tuple[int, int]:
    """1.0 when nothing was said, which its clients may leave out; a later minor than 1.2 is spoken to as 1.2."""
    major, _, minor = (text or "1.0").partition(".")
    if not (major.isdecimal() and minor.isdecimal() and len(minor) < 4 and major.isascii()):
        return (1, 0)
    return (1, min(int(minor), 2)) if major == "1" else (1, 2)


def registration_id(device: str) -> bytes:
    """The same for each registration of a device and in every process, so that owner and tokens follow from it."""
    return hashlib.blake2b(device.encode(), digest_size=ID_BYTES).digest()


class Registration(NamedTuple):
    """One client as the store keeps it. `observed`: paths that got a token, by its number; the list only grows, so that
    a late notification never means another path. `established`: how many tokens' observations the client confirmed."""

    device: str
    endpoint: str
    version: tuple[int, int]
    lifetime_s: int
    queue: bool
    last_heard_s: int
    """Unix seconds."""
    peer: str
    """Address and port as text; empty when something stronger than an address vouches for the client."""
    offer: Offer
    observed: tuple[str, ...] = ()
    established: frozenset[int] = frozenset()
    format: int | None = None
    """Content-Format that the client was seen to answer with."""
    legacy: bool = False
    """Registered by /t/r."""
    firmware: bytes = b""
    """Id of the firmware command under way."""
    peer_kept_s: int = 0
    """Unix seconds when the store was told whose `peer` is."""
    pushing: bytes = b""
    """Id of the firmware command whose image is being pushed."""
    pushed: int = 0
    """Bytes of that image that the client has."""
    push_szx: int = 5
    """Size of its blocks (RFC 7959 section 2.2)."""
    kid: bytes = b""
    """Of the OSCORE key that it registered with."""
    bound: Mapping[int, bytes] = MappingProxyType({})
    """By number of an observed path, the Partial IV of our request, to which OSCORE binds its notifications."""
    composite: bool = True
    """Whether it may be asked for several paths in one observation: not again, before it registers anew, once it has
    refused that or was silent."""

    def expired(self, now_s: float, grace_s: float) -> bool:
        return now_s > self.last_heard_s + self.lifetime_s + grace_s

    def encode(self) -> bytes:
        fields = self._replace(offer=list(self.offer), established=sorted(self.established), bound=dict(self.bound))  # type: ignore[arg-type]  # CBOR has lists
        return cbor2.dumps([_RECORD_VERSION, *fields])


def decode_registration(data: bytes) -> Registration | None:
    """None for what is no record of this version: its client then registers again."""
    try:
        version, *fields = cbor2.loads(data)
        if version != _RECORD_VERSION:
            return None
        record = Registration(*fields)
        paths, root, formats = record.offer
        return record._replace(
            version=(int(record.version[0]), int(record.version[1])),
            offer=Offer(tuple(paths), str(root), tuple(formats)),
            observed=tuple(record.observed),
            established=frozenset(record.established),
            bound={int(number): bytes(value) for number, value in record.bound.items()},
        )
    except (cbor2.CBORError, TypeError, ValueError, IndexError, AttributeError):
        return None


def registered(
    device: str, endpoint: str, query: Query, offer: Offer, peer: str, now_s: int, before: Registration | None
) -> Registration:
    """A new registration, which ends all observations of `before` but keeps the numbers of their tokens."""
    version = version_of(query.version)
    return Registration(
        device, endpoint, version, query.lifetime_s or DEFAULT_LIFETIME_S, bool(query.queue), now_s, peer, offer,
        observed=before.observed if before is not None else (),
        format=before.format if before is not None and before.version == version else None,
        firmware=before.firmware if before is not None else b"",
        pushing=before.pushing if before is not None else b"",
        pushed=before.pushed if before is not None else 0,
        push_szx=before.push_szx if before is not None else 5,
    )  # fmt: skip


def updated(before: Registration, query: Query, offer: Offer | None, peer: str, now_s: int) -> Registration:
    """What an update changes; a new list of objects leaves observations of paths that are still offered."""
    return before._replace(
        lifetime_s=query.lifetime_s or before.lifetime_s,
        queue=before.queue if query.queue is None else query.queue,
        last_heard_s=now_s,
        peer=peer,
        offer=before.offer if offer is None else offer,
    )


def with_observed(record: Registration, wanted: Iterable[str]) -> Registration:
    """The record with a token number for each wanted path, as far as there are numbers."""
    missing = tuple(path for path in dict.fromkeys(wanted) if path not in record.observed)
    return record._replace(observed=(record.observed + missing)[:MAX_OBSERVED])
