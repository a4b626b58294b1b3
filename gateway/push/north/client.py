"""Sends requests to a platform's API: few, and seldom, so each in a thread with a connection of its own."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from urllib.parse import urlsplit

from gateway.push.north.calls import Call
from gateway.push.products import CommandApi
from metering.errors import UnavailableError

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1 << 20


async def send(call: Call, api: CommandApi | None, ca: str = "") -> bytes:
    """The body of a successful answer. Raises UnavailableError for any other, which never repeats a secret.

    `api`: whose client certificate is shown. `ca`: PEM file of who signed the server's; empty: the system's.
    """
    return await asyncio.to_thread(_send, call, api, ca)


def _send(call: Call, api: CommandApi | None, ca: str) -> bytes:
    parts = urlsplit(call.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, api, ca)
        try:
            connection.request(call.method, target, call.body, call.headers)
            response = connection.getresponse()
            body = response.read(MAX_ANSWER_BYTES + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(f"{parts.hostname} cannot be asked: {type(error).__name__}") from error
    if not 200 <= response.status < 300:
        raise UnavailableError(f"{parts.hostname} answered {response.status}")
    if len(body) > MAX_ANSWER_BYTES:
        raise UnavailableError(f"{parts.hostname} answered more than {MAX_ANSWER_BYTES} bytes")
    return body


def _connection(
    scheme: str, host: str, port: int | None, api: CommandApi | None, ca: str
) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    context = ssl.create_default_context(cafile=ca or None)
    if api is not None and api.tls_certificate:
        context.load_cert_chain(api.tls_certificate, api.tls_key or None)
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
