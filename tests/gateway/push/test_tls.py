from __future__ import annotations

from pathlib import Path

import pytest

from gateway.push.tls import changed_at, server_context
from metering.errors import StartError
from metering.settings import PushSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_plain_http_is_for_loopback(host: str) -> None:
    assert server_context(PushSettings(host=host)) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "push.example.com"},
        {"client_ca": "ca.pem"},
        {"tls_certificate": "/nowhere.pem", "tls_key": "/nowhere.key"},
    ],
)
def test_other_addresses_need_a_certificate_that_is_there(settings: dict[str, str]) -> None:
    with pytest.raises(StartError):
        server_context(PushSettings.model_validate(settings))


def test_changes_are_seen_by_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    before = changed_at(str(file), "")
    file.write_text("x")
    assert before == (0.0,)
    assert changed_at(str(file)) > before
