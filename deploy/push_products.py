"""The file of the products that may push, written by us."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.instance import write_private
from deploy.programs import PRODUCTS_FILE
from gateway.push.products import Platform, load_products, parse_products
from metering.errors import RequestError
from metering.pushers import Unbound
from metering.settings import PushSettings, load

SECRET_BYTES = 32


def products_file(data: Path) -> Path:
    """The settings', else the one of the data directory."""
    return Path(load(PushSettings).products_file or data / PRODUCTS_FILE)


def check_is_product(data: Path, name: str) -> None:
    """Raises RequestError when there are products here and none has this name."""
    names = [product.name for product in load_products(products_file(data))]
    if names and name not in names:
        raise RequestError(f"{name[:40]!r} is none of the push products here: {', '.join(names)}")


class Added(NamedTuple):
    """What the platform is told: the path of its pushes, and the value of the header when one is asked for."""

    path: str
    token: str


def add(
    file: Path,
    name: str,
    platform: Platform,
    networks: Sequence[str] = (),
    token_header: str = "",
    unbound: Unbound = Unbound.REFUSE,
) -> Added:
    """One more product, with secrets made up. Raises SettingsError when the file or the product cannot be used."""
    before = file.read_text("utf-8") if file.exists() else ""
    secret, token = secrets.token_urlsafe(SECRET_BYTES), ""
    lines: dict[str, object] = {"name": name, "platform": str(platform), "secret_path": secret}
    if token_header:
        token = secrets.token_urlsafe(SECRET_BYTES)
        lines |= {"token_header": token_header, "token": token}
    if networks:
        lines["networks"] = list(networks)
    if unbound is not Unbound.REFUSE:
        lines["unbound_devices"] = str(unbound)
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    text = f"{before.rstrip()}\n\n[[products]]\n{table}".lstrip()
    parse_products(text, str(file))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, text)
    return Added(f"/push/{secret}", token)
