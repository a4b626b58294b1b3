"""The shipped files are what `nbwater mqtt acl` prints; what a broker makes of them: test_external_broker.py."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.commands.mqtt import mqtt
from deploy.mqtt.acl import LISTS, SHIPPED

FOLDER = Path(__file__).parents[3] / "deploy" / "mqtt"


@pytest.mark.parametrize("broker", LISTS)
def test_the_shipped_list_is_the_printed_one(broker: str) -> None:
    assert CliRunner().invoke(mqtt, ["acl", "--broker", broker]).output == (FOLDER / SHIPPED[broker]).read_text()


def test_the_gateways_login_is_a_setting() -> None:
    assert "user our-gateway\n" in CliRunner().invoke(mqtt, ["acl", "--gateway-user", "our-gateway"]).output
