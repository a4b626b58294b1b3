"""What a platform did not push, fetched from its history and given to our own push door as it would have pushed it.

So it takes the one way that all reports take: the same authentication, custody, decoding and recognition of repeats.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from api.queries.push_gaps import MissedMeter
from gateway.push import ctwing, huawei
from gateway.push.messages import Message
from gateway.push.north.calls import Call, login_call, login_token
from gateway.push.north.client import send
from gateway.push.north.history import (
    MAX_PAGES,
    Page,
    ctwing_page,
    ctwing_page_call,
    oceanconnect_page,
    oceanconnect_page_call,
)
from gateway.push.products import CommandApi, Platform, Product
from metering.errors import NotFoundError, RequestError, UnavailableError

WITH_HISTORY = frozenset({Platform.CTWING, Platform.OCEANCONNECT})


@dataclass(slots=True)
class Filled:
    """`without`: serials whose history said nothing, or could not be asked for."""

    pushed: int = 0
    meters: int = 0
    without: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Door:
    """Our own. `ca`: PEM file of who signed its certificate and the platform's."""

    url: str
    ca: str = ""


def product_of(products: Sequence[Product], name: str) -> Product:
    """Raises NotFoundError."""
    for product in products:
        if product.name == name:
            return product
    raise NotFoundError(f"there is no product {name}; `nbwater push products` shows them")


async def backfill(
    product: Product, door: Door, missed: Sequence[MissedMeter], since: datetime, until: datetime
) -> Filled:
    """Raises RequestError for a platform without history, and UnavailableError when our door takes nothing."""
    api = product.commands
    if product.platform not in WITH_HISTORY or api is None:
        raise RequestError(
            f"{product.name} has no history to ask: file read_history commands for the meters that "
            "`nbwater push missed` shows"
        )
    token = ""
    if product.platform is Platform.OCEANCONNECT:
        token, _ = login_token(await send(login_call(api), api, door.ca))
    filled = Filled()
    span = int(since.timestamp()), int(until.timestamp())
    for meter in missed:
        pushed = 0
        try:
            async for page in _pages(product, api, meter, span, token, door.ca):
                for body in page.pushes:
                    await _post(product, door, body)
                pushed += len(page.pushes)
        except _HistoryError as error:
            filled.failures[str(error)] += 1
        filled.pushed += pushed
        filled.meters += pushed > 0
        if not pushed:
            filled.without.append(meter.serial)
    return filled


class _HistoryError(UnavailableError):
    """The platform, not our door."""


async def _pages(
    product: Product, api: CommandApi, meter: MissedMeter, span: tuple[int, int], token: str, ca: str
) -> AsyncIterator[Page]:
    message = _last_push(product, meter)
    if message is None:
        raise _HistoryError("no push of the day before is kept that says what the platform calls the meter")
    following = ""
    for _ in range(MAX_PAGES):
        try:
            page = await _page(product, api, meter, message, span, following, token, ca)
        except UnavailableError as error:
            raise _HistoryError(str(error)) from error
        yield page
        following = page.next_page
        if not following:
            return


async def _page(
    product: Product, api: CommandApi, meter: MissedMeter, message: Message, span: tuple[int, int], following: str,
    token: str, ca: str,
) -> Page:  # fmt: skip
    device_id, number = message.platform_id, message.platform_product or api.product_id
    if product.platform is Platform.CTWING:
        call = ctwing_page_call(api, number, device_id, *span, following, time.time())
        return ctwing_page(await send(call, api, ca), meter.device, number, device_id)
    call = oceanconnect_page_call(api, device_id, *span, following, token)
    return oceanconnect_page(await send(call, api, ca), device_id, following)


def _last_push(product: Product, meter: MissedMeter) -> Message | None:
    """What the meter's last push says of it; None when that is not kept or says nothing."""
    read = ctwing.read if product.platform is Platform.CTWING else huawei.read_oceanconnect
    messages = read(meter.payload or b"")
    return messages[0] if messages[0].platform_id else None


async def _post(product: Product, door: Door, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    if product.token_header:
        headers[product.token_header] = product.token.get_secret_value()
    url = f"{door.url}/push/{product.secret_path.get_secret_value()}"
    await send(Call("POST", url, headers, body), None, door.ca)
