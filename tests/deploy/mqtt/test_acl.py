"""The shipped files are what `nbwater mqtt acl` prints; what a broker makes of them: test_external_broker.py."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.commands.mqtt import mqtt
from deploy.mqtt.acl import LISTS, SHIPPED
from gateway.mqtt.topics import down, up

FOLDER = Path(__file__).parents[3] / "deploy" / "mqtt"


@pytest.mark.parametrize("broker", LISTS)
def test_the_shipped_list_is_the_printed_one(broker: str) -> None:
    assert CliRunner().invoke(mqtt, ["acl", "--broker", broker]).output == (FOLDER / SHIPPED[broker]).read_text()


def test_the_gateways_login_is_a_setting() -> None:
    assert "user our-gateway\n" in CliRunner().invoke(mqtt, ["acl", "--gateway-user", "our-gateway"]).output


TERM = re.compile(r'\{(allow|deny), (all|\{username, "[^"]+"\})(?:, (publish|subscribe), \["([^"]+)"\])?\}\.')


def may(user: str, action: str, topic: str) -> bool:
    """As EMQX reads the file: the first rule that matches decides, ``${username}`` is the login, + is any level."""
    for line in (FOLDER / SHIPPED["emqx"]).read_text().splitlines():
        if line.startswith("%%"):
            continue
        term = TERM.fullmatch(line)
        assert term, f"no term of Erlang that EMQX knows: {line}"
        permission, who, wanted, pattern = term.groups()
        levels = (pattern or topic).replace("${username}", user).split("/")
        is_theirs = who == "all" or user in who
        asked = topic.split("/")
        matches = len(levels) == len(asked) and all(a in ("+", b) for a, b in zip(levels, asked, strict=True))
        if is_theirs and wanted in (None, action) and matches:
            return permission == "allow"
    raise AssertionError("no rule decides")


def test_emqx_gives_a_meter_its_own_two_topics_and_the_gateways_all() -> None:
    assert may("861", "publish", up("861"))
    assert may("861", "subscribe", down("861"))
    assert may("nbwater", "subscribe", up("861"))
    assert may("nbwater", "publish", down("861"))
    for action, topic in (
        ("publish", up("862")), ("subscribe", down("862")), ("subscribe", up("861")), ("publish", down("861")),
        ("publish", "nbwater/v1/861/other"), ("subscribe", "nbwater/v1/+/down"), ("publish", "$SYS/brokers"),
    ):  # fmt: skip
        assert not may("861", action, topic), (action, topic)
