from __future__ import annotations

from pathlib import Path

import pytest

from deploy.push_products import add, check_is_product, products_file
from gateway.push.products import Platform, load_products
from metering.errors import RequestError, SettingsError


def test_products_are_added_one_by_one_and_privately(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "push.toml"
    first = add(file, "east", Platform.CTWING, ["10.1.0.0/16"], "X-Token")
    second = add(file, "west", Platform.IOTDA)
    east, west = load_products(file)
    assert f"/push/{east.secret_path.get_secret_value()}" == first.path
    assert (east.token.get_secret_value(), east.networks) == (first.token, ("10.1.0.0/16",))
    assert (west.name, west.platform, second.token) == ("west", Platform.IOTDA, "")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("name", "networks"), [("east", []), ("No Name", []), ("west", ["10.1.2.3/16"])])
def test_what_cannot_be_leaves_the_file_as_it_was(tmp_path: Path, name: str, networks: list[str]) -> None:
    file = tmp_path / "push.toml"
    add(file, "east", Platform.CTWING)
    before = file.read_text()
    with pytest.raises(SettingsError):
        add(file, name, Platform.CTWING, networks)
    assert file.read_text() == before


def test_a_mistyped_product_is_noticed_where_products_are(tmp_path: Path) -> None:
    check_is_product(tmp_path, "anything")
    add(products_file(tmp_path), "east", Platform.CTWING)
    check_is_product(tmp_path, "east")
    with pytest.raises(RequestError, match="east"):
        check_is_product(tmp_path, "esat")
