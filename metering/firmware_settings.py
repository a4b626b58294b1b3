"""Settings of firmware, and where a meter of each door fetches its image. Read them by `metering.settings`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from metering.model import Authentication
from metering.section import Section

MAX_BASE_CHARACTERS = 200
_SCHEMES: Mapping[str, frozenset[str]] = {
    "uri_base": frozenset({"coap", "coaps", "http", "https"}),
    "uri_base_dtls": frozenset({"coaps", "http", "https"}),
    "uri_base_oscore": frozenset({"coap", "http", "https"}),
    "uri_base_mqtt": frozenset({"coap", "coaps", "http", "https"}),
    "uri_base_push": frozenset({"coap", "coaps", "http", "https"}),
}
"""A gateway gives no image to who asks in plain: who has a DTLS key fetches by coaps, who has an OSCORE key by coap."""

_COAP_OF: Mapping[Authentication, str] = {Authentication.DTLS: "coaps", Authentication.OSCORE: "coap"}
_USUAL_PORTS = {"coap": 5683, "coaps": 5684}


class FirmwareSettings(Section):
    """Firmware of meters: who signs it, where its images lie, from where meters fetch it."""

    table = "firmware"
    model_config = SettingsConfigDict(env_prefix="NBWATER_FIRMWARE_", extra="forbid", frozen=True)
    directory: str = Field("", description="Images, one file each, named by its SHA-256; empty: gateways serve none")
    max_transfers: int = Field(
        256, ge=1, description="Devices that fetch images from one gateway process at a time; others get 5.03"
    )
    public_key_file: str = Field("", description="PEM file of the Ed25519 key that signs images; empty: none is taken")
    uri_base: str = Field(
        "",
        description="Where meters fetch images, each at /fw/ and the first 16 digits of its SHA-256: coap://, "
        "coaps://, http:// or https:// with a host that meters reach, and a port where it is not the usual one",
    )
    uri_base_dtls: str = Field(
        "",
        description="The same for meters that come by DTLS; empty: uri_base, its coap:// as coaps:// and its port as "
        "dtls.port",
    )
    uri_base_oscore: str = Field(
        "",
        description="The same for meters that come by OSCORE; empty: uri_base, its coaps:// as coap:// and its port as "
        "gateway.port",
    )
    uri_base_mqtt: str = Field("", description="The same for meters that come by MQTT; empty: uri_base")
    uri_base_push: str = Field(
        "", description="The same for meters behind an operator's platform, https:// as a rule; empty: uri_base"
    )

    @field_validator(*_SCHEMES)
    @classmethod
    def _base(cls, value: str, info: ValidationInfo) -> str:
        """Without the slash at its end."""
        if not value:
            return value
        schemes = _SCHEMES[str(info.field_name)]
        try:
            parts = urlsplit(value)
            whole = bool(parts.hostname) and parts.port != 0
        except ValueError as error:
            raise ValueError(f"{value!r} is no address: {error}") from error
        if parts.scheme not in schemes or not whole:
            raise ValueError(f"{value!r} must be {', '.join(sorted(schemes))}:// and a host")
        if parts.query or parts.fragment or parts.username is not None or "?" in value or "#" in value:
            raise ValueError(f"{value!r} must have no login, query or fragment")
        if len(value) > MAX_BASE_CHARACTERS or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError(f"at most {MAX_BASE_CHARACTERS} ASCII characters without spaces")
        return value.rstrip("/")


class FirmwareAddresses:
    """Where a meter of each door fetches. Pure. `ports`: what the gateway itself listens on, by scheme."""

    def __init__(self, settings: FirmwareSettings, ports: Mapping[str, int]) -> None:
        self._base = settings.uri_base
        own = {
            Authentication.DTLS: settings.uri_base_dtls,
            Authentication.OSCORE: settings.uri_base_oscore,
            Authentication.MQTT: settings.uri_base_mqtt,
            Authentication.PUSHER: settings.uri_base_push,
        }
        self._bases = {door: base or _derived(self._base, _COAP_OF.get(door, ""), ports) for door, base in own.items()}

    def of(self, uri: str, authentication: Authentication) -> str:
        """The address that a command names, as a meter that is vouched for so must hear it. One that does not begin
        with `firmware.uri_base` is of a campaign started under another setting and stays."""
        base, rest = self._bases.get(authentication, ""), uri.removeprefix(f"{self._base}/fw/")
        return f"{base}/fw/{rest}" if base and self._base and rest != uri else uri


def _derived(base: str, scheme: str, ports: Mapping[str, int]) -> str:
    """`base` by the door's own CoAP scheme; anything but CoAP stays. Where it names no port, neither does this."""
    parts = urlsplit(base)
    if not scheme or parts.scheme not in _USUAL_PORTS or parts.scheme == scheme:
        return base
    host = parts.netloc if parts.port is None else parts.netloc.rpartition(":")[0]
    port = "" if parts.port is None or ports[scheme] in (0, _USUAL_PORTS[scheme]) else f":{ports[scheme]}"
    return parts._replace(scheme=scheme, netloc=f"{host}{port}").geturl()
