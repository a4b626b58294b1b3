"""Where the broker is and as whom the gateway logs in there. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from metering.errors import SettingsError

PLAIN_PORT, TLS_PORT = 1883, 8883


class Endpoint(NamedTuple):
    """One address of the broker. `password` is a secret."""

    host: str
    port: int
    tls: bool
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Endpoint({self.place})"

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


def parse(url: str) -> list[Endpoint]:
    """Of ``mqtt://user:password@host:port``, several with commas. Raises SettingsError, which never repeats it."""
    return [_endpoint(one.strip()) for one in url.split(",")]


def _endpoint(url: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("mqtt.url: an address cannot be read") from None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise SettingsError("mqtt.url: an address is mqtt://user:password@host:port or mqtts://…")
    tls = parts.scheme == "mqtts"
    return Endpoint(
        parts.hostname, port or (TLS_PORT if tls else PLAIN_PORT), tls,
        unquote(parts.username or ""), unquote(parts.password or ""),
    )  # fmt: skip
