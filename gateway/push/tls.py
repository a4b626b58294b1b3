"""TLS of the push port, and when it may do without."""

from __future__ import annotations

import ssl
from pathlib import Path

from metering.errors import StartError
from metering.exposure import is_loopback, require_pair
from metering.settings import PushSettings


def server_context(settings: PushSettings) -> ssl.SSLContext | None:
    """None: plain HTTP, on loopback only. With `client_ca` a sender without a certificate of its does not get in.

    Raises StartError.
    """
    require_pair(settings.tls_certificate, settings.tls_key, "NBWATER_PUSH")
    if not settings.tls_certificate:
        if not is_loopback(settings.host):
            raise StartError("push.host is not loopback: set push.tls_certificate and push.tls_key")
        if settings.client_ca:
            raise StartError("push.client_ca needs push.tls_certificate and push.tls_key")
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_certificate(context, settings)
        if settings.client_ca:
            context.load_verify_locations(settings.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"push.tls_certificate, tls_key or client_ca cannot be used: {error}") from error
    return context


def load_certificate(context: ssl.SSLContext, settings: PushSettings) -> None:
    """Also into a context in use: the next handshakes have it. Raises OSError, SSLError among them."""
    context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)


def changed_at(*paths: str) -> tuple[float, ...]:
    """When files were last written; 0 for those that are not there."""
    return tuple(_written(path) for path in paths if path)


def _written(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0
