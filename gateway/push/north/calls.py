"""Requests to the platforms' APIs, and what their answers say. Pure: bytes and times in, requests out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from gateway.push.aliases import Way
from gateway.push.messages import name_of, object_of
from gateway.push.north.signing import ctwing_signature, huawei_authorization, sdk_date
from gateway.push.products import CommandApi, Platform, Product
from metering.commands import WaitingCommand
from metering.errors import UnavailableError

CTWING_COMMAND = "/aep_device_command_lwm_profile/commandLwm2mProfile"
OCEANCONNECT_LOGIN = "/iocm/app/sec/v1.1.0/login"
OCEANCONNECT_COMMAND = "/iocm/app/cmd/v1.4.0/deviceCommands"
OPERATOR = "nbwater"
TTL_MAX_S = 864_000
"""CTWing's own limit of `ttl`."""

CONFIRMED, FAILED, EXPIRED = 0, 1, 3
_WORDS: Mapping[int | None, tuple[str, ...]] = {
    None: ("saved", "pending", "sent", "delivered", "指令已保存", "指令已发送", "指令已送达"),
    CONFIRMED: ("successful", "success", "completed", "指令已完成"),
    FAILED: ("failed", "fail", "cancelled", "canceled", "指令执行失败", "指令已取消"),
    EXPIRED: ("expired", "timeout", "timed out", "指令已超时", "指令已过期"),
}
PLATFORM_STATES: Mapping[str, int | None] = MappingProxyType(
    {word: result for result, words in _WORDS.items() for word in words}
)
"""A platform's word (small letters) → a key of metering.commands.RESULTS; None: on its way."""


class Call(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def command_call(
    product: Product, api: CommandApi, way: Way, command: WaitingCommand, token: str, now_s: float
) -> Call:
    """The request that has the platform bring a command to a device. `token`: OceanConnect's, of `login_call`."""
    frame = command.answer()
    said = frame.hex() if api.frame == "hex" else base64.b64encode(frame).decode()
    ttl_s = max(1, min(TTL_MAX_S, command.expires_s - int(now_s)))
    paras = {api.parameter: said}
    if product.platform is Platform.CTWING:
        return _ctwing_command(api, way, paras, ttl_s, now_s)
    if product.platform is Platform.IOTDA:
        return _iotda_command(api, way, paras, ttl_s, now_s)
    return _oceanconnect_command(api, way, paras, ttl_s, token)


def ctwing_call(
    api: CommandApi,
    path: str,
    version: str,
    content: Mapping[str, Any],
    master_key: bool,
    now_s: float,
    method: str = "POST",
) -> Call:
    """A signed request to CTWing. `master_key`: this API is told the product's."""
    body = _json(content)
    timestamp_ms = int(now_s * 1000)
    parameters = {"MasterKey": api.master_key.get_secret_value()} if master_key else {}
    signature = ctwing_signature(
        api.secret.get_secret_value(), api.application, timestamp_ms, parameters, body, api.signed_template,
        api.signature_hash,
    )  # fmt: skip
    headers = {
        "application": api.application,
        "timestamp": str(timestamp_ms),
        "version": version,
        "signature": signature,
        "Content-Type": "application/json; charset=UTF-8",
        **parameters,
    }
    return Call(method, api.url.rstrip("/") + path, headers, body)


def product_number(api: CommandApi, platform_product: str) -> int | str:
    """What CTWing calls the product."""
    number = platform_product or api.product_id
    return int(number) if number.isdecimal() else number


def _ctwing_command(api: CommandApi, way: Way, paras: Mapping[str, str], ttl_s: int, now_s: float) -> Call:
    content = {
        "command": {"serviceId": api.service, "method": api.method, "paras": paras},
        "deviceId": way.platform_id,
        "operator": OPERATOR,
        "productId": product_number(api, way.platform_product),
        "ttl": ttl_s,
        "level": 1,
    }
    return ctwing_call(api, CTWING_COMMAND, api.version, content, True, now_s)


def _iotda_command(api: CommandApi, way: Way, paras: Mapping[str, str], ttl_s: int, now_s: float) -> Call:
    path = f"/v5/iot/{quote(api.project_id, safe='')}/devices/{quote(way.platform_id, safe='')}/async-commands"
    content = {
        "service_id": api.service, "command_name": api.method, "paras": paras, "expire_time": ttl_s,
        "send_strategy": "delay",
    }  # fmt: skip
    return huawei_call(api, path, content, now_s)


def huawei_call(api: CommandApi, path: str, content: Mapping[str, Any], now_s: float) -> Call:
    """A request to IoTDA with its token, or signed with AK and SK."""
    url, body = api.url.rstrip("/") + path, _json(content)
    headers = {"Content-Type": "application/json"}
    if token := api.token.get_secret_value():
        return Call("POST", url, headers | {"X-Auth-Token": token}, body)
    headers |= {"Host": urlsplit(url).netloc, "X-Sdk-Date": sdk_date(now_s)}
    secret = api.secret.get_secret_value()
    authorization = huawei_authorization(api.application, secret, "POST", url, headers, body)
    return Call("POST", url, headers | {"Authorization": authorization}, body)


def login_call(api: CommandApi) -> Call:
    """OceanConnect's access token."""
    form = urlencode({"appId": api.application, "secret": api.secret.get_secret_value()})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Call("POST", api.url.rstrip("/") + OCEANCONNECT_LOGIN, headers, form.encode())


def login_token(answer: bytes) -> tuple[str, int]:
    """The token and how long it lasts, seconds. Raises UnavailableError when the answer has none."""
    said = _object(answer)
    token, lasts = said.get("accessToken"), said.get("expiresIn", 0)
    if not isinstance(token, str) or not token:
        raise UnavailableError("OceanConnect gave no access token")
    return token, int(lasts) if str(lasts).isdecimal() else 0


def _oceanconnect_command(api: CommandApi, way: Way, paras: Mapping[str, str], ttl_s: int, token: str) -> Call:
    content = {
        "deviceId": way.platform_id,
        "command": {"serviceId": api.service, "method": api.method, "paras": paras},
        "callbackUrl": api.callback_url,
        "expireTime": ttl_s,
    }
    url = f"{api.url.rstrip('/')}{OCEANCONNECT_COMMAND}?{urlencode({'appId': api.application})}"
    return Call("POST", url, oceanconnect_headers(api, token), _json(content))


def oceanconnect_headers(api: CommandApi, token: str) -> dict[str, str]:
    return {"app_key": api.application, "Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def platform_command_id(platform: Platform, answer: bytes) -> str:
    """What the platform calls the command it took. Raises UnavailableError when it took none."""
    said = _object(answer)
    if platform is Platform.CTWING:
        if said.get("code") not in (0, "0"):
            raise UnavailableError(
                f"CTWing refused a command: {str(said.get('code'))[:20]} {str(said.get('msg'))[:100]}"
            )
        said = object_of(said.get("result"))
    number = name_of(said.get("command_id" if platform is Platform.IOTDA else "commandId"))
    if not number:
        raise UnavailableError("the platform's answer names no command")
    return number


def _object(answer: bytes) -> dict[str, Any]:
    try:
        return object_of(json.loads(answer))
    except (ValueError, RecursionError):
        raise UnavailableError("the platform's answer is no JSON") from None


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
