"""Which push products may speak for which devices, for the command line: many at once, each act a transaction with its
line in the audit log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from api.audit import audit
from deploy.enrolment import ACTOR, audit_target
from deploy.servers import locked_transaction
from ingest.registry import bindings
from ingest.registry.credentials import KeyHolder, holders_of
from metering.errors import RequestError
from metering.pushers import PRODUCT_NAME


async def bind_devices(url: str, product: str, names: Sequence[tuple[int, str]], *, beside: bool) -> int:
    """The product may speak for these devices (serial, canonical name or IMEI; line of the file), others only `beside`
    it; for how many that is new. Raises ImportRowsError for a device that is nobody's, RequestError."""
    async with locked_transaction(url, bindings.lock) as connection:
        holders = await holders_of(connection, names)
        return await _bind(connection, checked_product(product), holders, beside, {})


async def bind_all_of(url: str, product: str, former: str, *, beside: bool) -> int:
    """As `bind_devices`, for all devices that are bound to another product."""
    async with locked_transaction(url, bindings.lock) as connection:
        holders = await bindings.holders_of_product(connection, former)
        return await _bind(connection, checked_product(product), holders, beside, {"all_of": former})


async def unbind_devices(url: str, names: Sequence[tuple[int, str]], product: str | None, reason: str) -> int:
    """The product, or every one, may not speak for these devices any more; how many bindings ended."""
    async with locked_transaction(url, bindings.lock) as connection:
        holders = await holders_of(connection, names)
        count = await bindings.end(connection, holders, product, ACTOR, reason)
        detail = {"product": product or "all", "bindings": count, "reason": reason}
        await audit(connection, ACTOR, "pushers.unbind", audit_target(holders), detail)
    return count


def checked_product(name: str) -> str:
    """Raises RequestError when no product can be called so."""
    if not re.fullmatch(PRODUCT_NAME, name):
        raise RequestError(f"{name[:40]!r} is no name of a push product; `nbwater push products` shows them")
    return name


async def _bind(connection: Any, product: str, holders: Sequence[KeyHolder], beside: bool, why: dict[str, Any]) -> int:
    count = await bindings.bind(connection, holders, product, ACTOR, beside=beside)
    detail = {"product": product, "beside_others": beside, "new": count, **why}
    await audit(connection, ACTOR, "pushers.bind", audit_target(holders), detail)
    return count
