"""Binds devices to the product that brings their very first report, where that product asks for it (`bind_first`).

Only of a device that is bound to none and was bound to none, never had a key, and was never heard by any door: who
speaks first could speak for anybody else otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import structlog

from metering.envelope import Report
from metering.model import Authentication
from metering.pushers import BINDING_LOCK, PRODUCT_NAME, Standing, product_of

from .installations import Device, Installations

BOUND_BY = "first report"
_MAY = """
    SELECT device_id FROM unnest($1::bigint[]) AS first (device_id)
    WHERE NOT EXISTS (SELECT FROM pusher_bindings b WHERE b.device_id = first.device_id)
      AND NOT EXISTS (SELECT FROM device_latest l WHERE l.device_id = first.device_id)
"""
"""Asked before the lock is taken: of a city that moves to push nearly every device was heard before."""
_BIND = """
    INSERT INTO pusher_bindings (device_id, product, bound_by)
    SELECT device_id, product, $3 FROM unnest($1::bigint[], $2::text[]) AS first (device_id, product)
    WHERE NOT EXISTS (SELECT FROM pusher_bindings b WHERE b.device_id = first.device_id)
      AND NOT EXISTS (SELECT FROM device_latest l WHERE l.device_id = first.device_id)
    RETURNING device_id, product
"""
_log = structlog.get_logger()


async def bind_first(connection: Any, reports: Iterable[Report], known: Installations) -> None:
    """`known` knows the devices of the reports, and afterwards what they are bound to. In the caller's transaction."""
    wanted: dict[int, str] = {}
    names: dict[str, Device] = {}
    for report in reports:
        if report.authentication != Authentication.FIRST_PUSHER:
            continue
        device, product = known.get(report.device), product_of(report.source)
        if device is None or not re.match(PRODUCT_NAME, product):
            continue
        if device.standing(product, Authentication.FIRST_PUSHER, report.received_at_us) is Standing.UNBOUND:
            wanted.setdefault(device.device_id, product)
            names[report.device] = device
    if not wanted:
        return
    may = {row["device_id"] for row in await connection.fetch(_MAY, list(wanted))}
    wanted = {device_id: product for device_id, product in wanted.items() if device_id in may}
    bound = []
    if wanted:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", BINDING_LOCK)
        bound = await connection.fetch(_BIND, list(wanted), list(wanted.values()), BOUND_BY)
    for name in names:
        known.forget(name)
    await known.load(connection, names)
    if not wanted:
        return
    _log.info("first_reports_bound", devices=len(bound), asked=len(wanted))
