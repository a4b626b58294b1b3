"""Which listeners may do without TLS: secrets cross no network in the clear."""

from __future__ import annotations

import ipaddress

from metering.errors import StartError


def is_loopback(host: str) -> bool:
    """Whether what listens on `host` is reached from this machine only. A name other than localhost is not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_pair(certificate: str, key: str, prefix: str) -> None:
    """Raises StartError where one of PREFIX_TLS_CERTIFICATE and PREFIX_TLS_KEY is set without the other."""
    if bool(certificate) != bool(key):
        raise StartError(f"{prefix}_TLS_CERTIFICATE and {prefix}_TLS_KEY belong together: set both or none")
