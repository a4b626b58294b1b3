"""Unknown devices that knock, as gateways tell them on NATS: told and forgotten, bounded, never trusted. Pure.

Subject ``strangers``, a CBOR array of ``[name, door, source, reason, knocks]``, one message every few seconds of each
gateway that was knocked at. A name is whatever somebody sent: it is cleaned where it enters and where it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cbor2

from metering.errors import EnvelopeError
from metering.model import Door

STRANGERS_SUBJECT = "strangers"
MAX_KNOCKS = 512
"""Names in one message."""

MAX_NAME_CHARACTERS = 64
MAX_SOURCE_CHARACTERS = 64
MAX_REASON_CHARACTERS = 32
MAX_BYTES = 256 * 1024
_MAX_COUNT = 1 << 31


class Knock(NamedTuple):
    """`source`: address without port. `reason`: the short stable word of the refusal. `knocks`: how often."""

    name: str
    door: Door
    source: str
    reason: str
    knocks: int


def cleaned(text: str, limit: int) -> str:
    """What can be shown and stored of anybody's text: printable characters, the others as ``?``, cut at `limit`."""
    cut = text[:limit]
    return cut if cut.isascii() and cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


def encode_knocks(knocks: Iterable[Knock]) -> bytes:
    return cbor2.dumps([[*knock] for knock in knocks])


def decode_knocks(body: bytes) -> list[Knock]:
    """At most MAX_KNOCKS, cleaned. Raises EnvelopeError."""
    if len(body) > MAX_BYTES:
        raise EnvelopeError(f"knocks of {len(body)} bytes")
    try:
        return [_knock(*row) for row in cbor2.loads(body)[:MAX_KNOCKS]]
    except Exception as error:
        raise EnvelopeError(f"no list of knocks: {type(error).__name__}") from error


def _knock(name: str, door: str, source: str, reason: str, knocks: int) -> Knock:
    return Knock(
        cleaned(str(name), MAX_NAME_CHARACTERS),
        Door(door),
        cleaned(str(source), MAX_SOURCE_CHARACTERS),
        cleaned(str(reason), MAX_REASON_CHARACTERS),
        min(max(int(knocks), 1), _MAX_COUNT),
    )
