from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from gateway.push.products import Pushers, Refused, load_products, parse_products
from metering.errors import SettingsError
from tests.gateway.push.conftest import product

HOST = ipaddress.ip_address("10.1.2.3")
SECRET = "0123456789abcdef"


def test_no_file_is_no_products(tmp_path: Path) -> None:
    assert load_products(tmp_path / "none.toml") == ()


def test_a_pusher_is_known_by_all_that_is_asked_of_it() -> None:
    text = product(secret=SECRET, token_header="X-Token", token="t", networks=["10.1.0.0/16"])
    pushers = Pushers(parse_products(text, "test") + parse_products(product("west", "iotda", "f" * 16), "test"))
    token = [(b"x-token", b"t")]
    assert pushers.recognise(SECRET, token, HOST) is pushers.products[0]
    assert pushers.recognise("f" * 16, [], HOST) is pushers.products[1]
    assert pushers.recognise(SECRET[:-1], token, HOST) is Refused.PATH
    assert pushers.recognise("", token, HOST) is Refused.PATH
    assert pushers.recognise(SECRET, [], HOST) is Refused.TOKEN
    assert pushers.recognise(SECRET, [(b"x-token", b"\xff")], HOST) is Refused.TOKEN
    assert pushers.recognise(SECRET, token, ipaddress.ip_address("10.2.0.1")) is Refused.NETWORK
    assert pushers.recognise(SECRET, token, ipaddress.ip_address("::1")) is Refused.NETWORK
    assert pushers.may_come(ipaddress.ip_address("::1"))
    assert not Pushers(pushers.products[:1]).may_come(ipaddress.ip_address("10.2.0.1"))
    assert pushers.recognise("\udce4\udcff", token, HOST) is Refused.PATH


@pytest.mark.parametrize(
    "text",
    [
        product(secret="short"),
        product(secret="with/a/slash/in/it"),
        product(secret=SECRET, networks=["10.1.2.3/16"]),
        product(secret=SECRET, token_header="X-Token"),
        product(secret=SECRET, token="t0psecret"),
        product(secret=SECRET, platform="other"),
        product(secret=SECRET) + product(secret="another-0123456789"),
        product(secret=SECRET) + product("west", secret=SECRET),
        product(secret=SECRET) + '[products.commands]\nurl = "ftp://x"\nsecret = "t0psecret"\n',
        product(secret=SECRET, unknown=1),
        "nonsense",
    ],
)
def test_what_cannot_be_meant_is_refused_without_repeating_secrets(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_products(text, "test")
    assert SECRET not in str(refused.value)
    assert "t0psecret" not in str(refused.value)
