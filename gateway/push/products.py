"""Who may push: one product for each subscription at a platform, in a TOML file of its own (mode 0600: it has secrets).

::

    [[products]]
    name = "east"                     # in logs, metrics, and the source of its reports
    platform = "ctwing"               # or oceanconnect, iotda
    secret_path = "…"                 # the platform is told https://host:port/push/<secret_path>
    token_header = "X-Push-Token"     # optional: a header of its own …
    token = "…"                       # … and its value
    networks = ["203.0.113.0/24"]     # optional: from where it pushes
    aliases_file = ""                 # optional: lines `platform id,device`, where messages carry no IMEI
    unbound_devices = "refuse"        # optional: or bind_first, accept; see metering.pushers
    [products.commands]               # optional: how commands reach its devices, see `CommandApi`
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import tomllib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from metering.errors import SettingsError
from metering.pushers import PRODUCT_NAME, Unbound

Host = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_PRODUCTS = 64
SECRET_MIN_CHARACTERS = 16


class Platform(StrEnum):
    CTWING = "ctwing"
    OCEANCONNECT = "oceanconnect"
    IOTDA = "iotda"


class CommandApi(BaseModel):
    """The platform's API for commands and history. What a platform does not use stays empty.

    CTWing: application, secret, master_key. OceanConnect: application (appId), secret, callback_url. IoTDA:
    project_id and application, secret (AK, SK), or token (X-Auth-Token).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = Field(pattern=r"^https?://")
    application: str = ""
    secret: SecretStr = SecretStr("")
    master_key: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    project_id: str = ""
    product_id: str = ""
    """Of the platform, where its messages do not name it."""
    callback_url: str = ""
    service: str = "Command"
    """Of the product's profile at the platform, and its method and parameter that carry a frame to the meter."""
    method: str = "Raw"
    parameter: str = "data"
    frame: str = Field("hex", pattern="^(hex|base64)$")
    version: str = "20191231141545"
    history_version: str = "20190928013337"
    cancel_version: str = "20190615023142"
    signed_template: str = "application:{application}\ntimestamp:{timestamp}\n{parameters}{body}\n"
    """What CTWing's signature is of; see `gateway.push.north.signing`."""
    signature_hash: str = Field("sha1", pattern="^(sha1|sha256)$")
    tls_certificate: str = ""
    tls_key: str = ""


class Product(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=PRODUCT_NAME)
    platform: Platform
    secret_path: SecretStr
    token_header: str = ""
    token: SecretStr = SecretStr("")
    networks: tuple[str, ...] = ()
    aliases_file: str = ""
    unbound_devices: Unbound = Unbound.REFUSE
    commands: CommandApi | None = None

    @field_validator("secret_path")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) < SECRET_MIN_CHARACTERS or not all(c.isascii() and (c.isalnum() or c in "-_.~") for c in text):
            raise ValueError(f"at least {SECRET_MIN_CHARACTERS} letters, digits, or -_.~")
        return value

    @field_validator("networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(network)) for network in value)

    @model_validator(mode="after")
    def _token_whole(self) -> Product:
        if bool(self.token_header) != bool(self.token.get_secret_value()):
            raise ValueError("token_header and token belong together")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    products: tuple[Product, ...] = Field((), max_length=MAX_PRODUCTS)


def load_products(path: str | Path) -> tuple[Product, ...]:
    """Those of a file; none when there is no file. Raises SettingsError, which never repeats a secret."""
    try:
        text = Path(path).read_text("utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"push.products_file {path} cannot be read: {type(error).__name__}") from None
    return parse_products(text, str(path))


def parse_products(text: str, where: str) -> tuple[Product, ...]:
    """As `load_products`, of a text that came from `where`."""
    try:
        products = _File(**tomllib.loads(text)).products
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"push.products_file {where}: {error}") from None
    except ValidationError as error:
        bad = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"push.products_file {where}: {bad}") from None
    for what in ("name", "secret_path"):
        values = [getattr(product, what) for product in products]
        if len(set(values)) != len(values):
            raise SettingsError(f"push.products_file {where}: two products have the same {what}")
    return products


def host_of(text: str) -> Host:
    """The address of a peer, IPv4 as such."""
    host = ipaddress.ip_address(text.partition("%")[0])
    return getattr(host, "ipv4_mapped", None) or host


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class Refused(StrEnum):
    """Why a pusher may not. The value is the metric's label."""

    PATH = "path"
    TOKEN = "token"  # noqa: S105 - a reason, not a token
    NETWORK = "network"


def _within(host: Host, networks: Sequence[Network]) -> bool:
    return any(host.version == network.version and host in network for network in networks)


class Pushers:
    """Recognises pushers, in the same time whoever they are not."""

    def __init__(self, products: Sequence[Product]) -> None:
        self.products = tuple(products)
        self._paths = [_digest(product.secret_path.get_secret_value()) for product in products]
        self._tokens = [_digest(product.token.get_secret_value()) for product in products]
        self._headers = [product.token_header.lower().encode() for product in products]
        self._networks = [[ipaddress.ip_network(network) for network in p.networks] for p in products]

    def may_come(self, host: Host) -> bool:
        """Whether one of them pushes from there."""
        return any(not networks or _within(host, networks) for networks in self._networks)

    def recognise(
        self,
        secret_path: str,
        headers: Sequence[tuple[bytes, bytes]],
        host: Host,
    ) -> Product | Refused:
        """Header names are in small letters."""
        said, found = _digest(secret_path), -1
        for number, path in enumerate(self._paths):
            if hmac.compare_digest(path, said):
                found = number
        if found < 0:
            return Refused.PATH
        networks = self._networks[found]
        if networks and not _within(host, networks):
            return Refused.NETWORK
        if header := self._headers[found]:
            token = next((value for name, value in headers if name == header), b"")
            if not hmac.compare_digest(_digest(token.decode("latin-1")), self._tokens[found]):
                return Refused.TOKEN
        return self.products[found]
