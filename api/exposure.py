"""Passwords never cross a network in the clear: the pages leave this machine by TLS only."""

from __future__ import annotations

from metering.errors import StartError
from metering.exposure import is_loopback, require_pair
from metering.settings import ApiSettings


def check_exposure(settings: ApiSettings, option: str = "") -> None:
    """Raises StartError where passwords would. `option`: what of a command line says the address too."""
    require_pair(settings.tls_certificate, settings.tls_key, "NBWATER_API")
    if settings.tls_certificate or settings.behind_tls_proxy or is_loopback(settings.host):
        return
    said_by = " or ".join(name for name in (option, "NBWATER_API_HOST") if name)
    raise StartError(
        f"the pages' address {settings.host} ({said_by}) is not loopback and would need TLS: set "
        "NBWATER_API_TLS_CERTIFICATE and NBWATER_API_TLS_KEY, or NBWATER_API_BEHIND_TLS_PROXY=true where a proxy in "
        "front speaks TLS"
    )
