"""The platforms' history of a device: what it said while nothing was pushed, as pushes to take in again. Pure.

CTWing keeps it (`getDeviceStatusHisInPage`), OceanConnect too (`deviceDataHistory`); IoTDA has none: its meters are
asked themselves (`read history` commands).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from gateway.push.messages import object_of
from gateway.push.north.calls import Call, ctwing_call, oceanconnect_headers
from gateway.push.products import CommandApi
from metering.errors import UnavailableError

CTWING_HISTORY = "/aep_device_status/getDeviceStatusHisInPage"
OCEANCONNECT_HISTORY = "/iocm/app/data/v1.1.0/deviceDataHistory"
PAGE_ROWS = 40
"""CTWing gives no more at once."""

MAX_PAGES = 100
"""Of one device: more than any meter says in a month."""

_RFC_BASIC = "%Y%m%dT%H%M%SZ"


class Page(NamedTuple):
    """`pushes`: as the platform would have pushed them. `next_page`: to ask for what follows; empty: that was all."""

    pushes: list[bytes]
    next_page: str


def ctwing_page_call(
    api: CommandApi, product_id: str, device_id: str, since_s: int, until_s: int, page: str, now_s: float
) -> Call:
    """`page`: empty for the first, else `Page.next_page`."""
    content = {
        "productId": product_id,
        "deviceId": device_id,
        "begin_timestamp": str(since_s * 1000),
        "end_timestamp": str(until_s * 1000),
        "page_size": str(PAGE_ROWS),
    }
    if page:
        content["page_timestamp"] = page
    return ctwing_call(api, CTWING_HISTORY, api.history_version, content, False, now_s)


def ctwing_page(answer: bytes, imei: str, product_id: str, device_id: str) -> Page:
    """Raises UnavailableError when the platform gave no history."""
    said = _object(answer)
    if said.get("code") not in (0, "0"):
        raise UnavailableError(f"CTWing refused a history: {str(said.get('code'))[:20]} {str(said.get('msg'))[:100]}")
    rows = [row for row in said.get("deviceStatusList") or () if isinstance(row, dict)]
    pushes = [_ctwing_push(row, imei, product_id, device_id) for row in rows]
    following = said.get("page_timestamp")
    return Page(pushes, str(following) if following and len(rows) >= PAGE_ROWS else "")


def _ctwing_push(row: Mapping[str, Any], imei: str, product_id: str, device_id: str) -> bytes:
    """A row is the payload of a push, with the timestamp beside its fields."""
    payload = {name: value for name, value in row.items() if name != "timestamp"}
    raw = "APPdata" in payload
    content = {
        "messageType": "dataReport", "topic": "v1/up/ad" if raw else "v1/up/ad19", "timestamp": row.get("timestamp"),
        "protocol": "lwm2m", "productId": product_id, "deviceId": device_id, "IMEI": imei, "upPacketSN": -1,
        "upDataSN": -1, "serviceId": "", "payload": payload,
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def oceanconnect_page_call(api: CommandApi, device_id: str, since_s: int, until_s: int, page: str, token: str) -> Call:
    """As `ctwing_page_call`; pages have numbers from 0."""
    times = [datetime.fromtimestamp(at_s, UTC).strftime(_RFC_BASIC) for at_s in (since_s, until_s)]
    query = {
        "deviceId": device_id, "gatewayId": device_id, "startTime": times[0], "endTime": times[1],
        "pageNo": page or "0", "pageSize": str(PAGE_ROWS), "appId": api.application,
    }  # fmt: skip
    url = f"{api.url.rstrip('/')}{OCEANCONNECT_HISTORY}?{urlencode(query)}"
    return Call("GET", url, oceanconnect_headers(api, token), b"")


def oceanconnect_page(answer: bytes, device_id: str, page: str) -> Page:
    """Raises UnavailableError when the platform gave no history."""
    said = _object(answer)
    if not isinstance(said.get("deviceDataHistoryDTOs"), list):
        raise UnavailableError("OceanConnect gave no history")
    rows = [row for row in said["deviceDataHistoryDTOs"] if isinstance(row, dict)]
    pushes = [_oceanconnect_push(row, device_id) for row in rows]
    return Page(pushes, str(int(page or "0") + 1) if len(rows) >= PAGE_ROWS else "")


def _oceanconnect_push(row: Mapping[str, Any], device_id: str) -> bytes:
    service = {
        "serviceId": row.get("serviceId"), "serviceType": row.get("serviceId"), "data": object_of(row.get("data")),
        "eventTime": row.get("timestamp"),
    }  # fmt: skip
    content = {"notifyType": "deviceDataChanged", "deviceId": device_id, "gatewayId": device_id, "service": service}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _object(answer: bytes) -> dict[str, Any]:
    try:
        return object_of(json.loads(answer))
    except (ValueError, RecursionError):
        raise UnavailableError("the platform's answer is no JSON") from None
