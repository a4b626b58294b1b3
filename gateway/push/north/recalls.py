"""How a platform gives back a command that it has in its own queue. Pure: bytes and times in, requests out.

CTWing AEP: ``PUT /aep_device_command/cancelCommand``, signed as the others; its published SDKs name the call and its
version, the three fields of the body are those of its query call **[open]**. OceanConnect: ``PUT`` of the command's
status. IoTDA: its API (v5) makes and shows asynchronous commands and takes none back: they end at their expiry.
"""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

from gateway.push.messages import object_of
from gateway.push.north.calls import OCEANCONNECT_COMMAND, Call, ctwing_call, oceanconnect_headers, product_number
from gateway.push.north.ledger import Open
from gateway.push.products import CommandApi, Platform, Product

CTWING_CANCEL = "/aep_device_command/cancelCommand"
CANCELLED = frozenset({"cancelled", "canceled", "指令已取消"})
"""A platform's words (small letters) for a command that it will not bring any more."""

NO_CALL = "the platform has no call for it: the command ends there when it expires"


def recall_call(product: Product, api: CommandApi, there: Open, token: str, now_s: float) -> Call | None:
    """None where the platform has no such call. `token`: OceanConnect's, of `login_call`."""
    if product.platform is Platform.CTWING:
        content = {
            "commandId": there.platform_command_id,
            "productId": product_number(api, there.platform_product),
            "deviceId": there.platform_id,
        }
        return ctwing_call(api, CTWING_CANCEL, api.cancel_version, content, True, now_s, "PUT")
    if product.platform is Platform.OCEANCONNECT:
        number, query = quote(there.platform_command_id, safe=""), urlencode({"appId": api.application})
        url = f"{api.url.rstrip('/')}{OCEANCONNECT_COMMAND}/{number}?{query}"
        return Call("PUT", url, oceanconnect_headers(api, token), b'{"status":"CANCELED"}')
    return None


def recall_refusal(platform: Platform, answer: bytes) -> str:
    """Why the platform keeps it; empty: it gave it back."""
    try:
        said = object_of(json.loads(answer)) if answer else {}
    except (ValueError, RecursionError):
        return "the platform's answer is no JSON"
    if platform is Platform.CTWING:
        if said.get("code") in (0, "0"):
            return ""
        return f"{str(said.get('code'))[:20]} {str(said.get('msg'))[:100]}"
    status = str(said.get("status", "CANCELED"))
    return "" if status.lower() in CANCELLED else f"it is {status[:40]}"
