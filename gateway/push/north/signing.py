"""How requests to the platforms' APIs are signed: one pure function for each, so that one can be replaced. Pure.

CTWing: as its published SDKs sign: HMAC of lines, each with its line end, in Base64: ``application:A``,
``timestamp:T``, the parameters ``name:value`` sorted by name (MasterKey among them), the body. Its own text was not at
hand, so that the template and the hash are settings of the product.
Huawei: SDK-HMAC-SHA256 of API signatures with AK and SK.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "SDK-HMAC-SHA256"


def ctwing_signature(
    secret: str,
    application: str,
    timestamp_ms: int,
    parameters: Mapping[str, str],
    body: bytes,
    template: str,
    hash_name: str,
) -> str:
    """The header `signature`. Without a body its place in the template, and the line end behind it, are empty."""
    lines = "".join(f"{name}:{parameters[name]}\n" for name in sorted(parameters))
    head, _, tail = template.partition("{body}")
    fill = {"application": application, "timestamp": str(timestamp_ms), "parameters": lines}
    signed = head.format(**fill).encode() + (body + tail.format(**fill).encode() if body else b"")
    return base64.b64encode(hmac.new(secret.encode(), signed, hash_name).digest()).decode()


def huawei_authorization(
    access_key: str, secret_key: str, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> str:
    """The header `Authorization`. All of `headers` are signed, `Host` and `X-Sdk-Date` must be among them."""
    parts = urlsplit(url)
    small = {name.lower(): value.strip() for name, value in headers.items()}
    signed = sorted(small)
    path = quote(parts.path or "/", safe="/-_.~%")
    canonical = "\n".join(
        (
            method.upper(),
            path if path.endswith("/") else f"{path}/",
            "&".join(sorted(parts.query.split("&"))) if parts.query else "",
            "".join(f"{name}:{small[name]}\n" for name in signed),
            ";".join(signed),
            hashlib.sha256(body).hexdigest(),
        )
    )
    to_sign = f"{ALGORITHM}\n{small['x-sdk-date']}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(secret_key.encode(), to_sign.encode(), "sha256").hexdigest()
    return f"{ALGORITHM} Access={access_key}, SignedHeaders={';'.join(signed)}, Signature={signature}"


def sdk_date(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
