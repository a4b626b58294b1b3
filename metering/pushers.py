"""For which devices a push product may speak (docs/decisions/0025-pushers.md). Pure.

An operator's platform that proves itself to be a product of ours proves nothing of a device: each device is bound to
the products that may speak for it. The gateway asks before it hands anything over, ingest before it stores anything.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from metering.model import Authentication

MAX_PUSHERS = 4
"""Products that may speak for one device at once: while a device moves it has two."""

PRODUCT_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
BINDING_LOCK = 0x6E6270757368
"""Advisory lock of who changes bindings ("nbpush" in ASCII)."""


class Unbound(StrEnum):
    """What becomes of a report by a product, for a device that is bound to none."""

    REFUSE = "refuse"
    BIND_FIRST = "bind_first"
    """The very first report of a device binds it, if it never had a key."""
    ACCEPT = "accept"
    """Taken, while devices are being bound; never enough for a command."""


STAMPS = {
    Unbound.REFUSE: Authentication.PUSHER,
    Unbound.BIND_FIRST: Authentication.FIRST_PUSHER,
    Unbound.ACCEPT: Authentication.UNBOUND_PUSHER,
}
"""What a gateway writes on the reports of a product: ingest knows from it what the product asks for."""

PUSHED = frozenset(STAMPS.values())


class Standing(StrEnum):
    """Of a product towards a device."""

    BOUND = "bound"
    UNBOUND = "unbound"
    """The device is bound to none, and the product may speak for such."""
    FOREIGN = "foreign"


def product_of(source: str) -> str:
    """The product in the `source` of a pushed report."""
    return source.partition(" ")[0]


def voucher(authentication: Authentication, source: str) -> str:
    """Who answers for a report: what one vouches for is no repeat of what another does."""
    return f"{authentication} {product_of(source)}" if authentication in PUSHED else authentication


def standing(product: str, stamp: Authentication, pushers: Collection[str], *, closed: bool) -> Standing:
    """`closed`: the device had a key or a product at some time, so that nobody but a product it is bound to may speak
    for it. `stamp`: one of STAMPS."""
    if product in pushers:
        return Standing.BOUND
    if pushers or closed or stamp == Authentication.PUSHER:
        return Standing.FOREIGN
    return Standing.UNBOUND
