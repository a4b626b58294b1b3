from pathlib import Path

import pytest

from metering.errors import SettingsError
from metering.settings import (
    SECTIONS,
    DatabaseSettings,
    GatewaySettings,
    UtilitySettings,
    load,
    unknown_variables,
)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("NBWATER_"):
            monkeypatch.delenv(name)


def test_environment_wins_over_file_over_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nbwater.toml"
    file.write_text("[gateway]\nport = 1111\nbatch_ms = 7\n")
    monkeypatch.setenv("NBWATER_CONFIG", str(file))
    monkeypatch.setenv("NBWATER_GATEWAY_PORT", "2222")
    settings = load(GatewaySettings)
    assert (settings.port, settings.batch_ms, settings.retry_after_s) == (2222, 7.0, 60)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[gatewya]\n", "unknown table"),
        ("[gateway]\nprot = 1\n", "gateway.prot"),
        ("[gateway]\nport = 99999\n", "gateway.port"),
        ("gateway = \n", "configuration file"),
    ],
)
def test_a_bad_file_says_what_is_wrong(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "nbwater.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        load(GatewaySettings, str(file))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml"):
        load(GatewaySettings, str(tmp_path / "none.toml"))


def test_an_unknown_time_zone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBWATER_UTILITY_TIMEZONE", "Asia/Huludao")
    with pytest.raises(SettingsError, match="Asia/Huludao"):
        load(UtilitySettings)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBWATER_DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(load(DatabaseSettings))


def test_every_field_is_described() -> None:
    assert [f"{s.table}.{n}" for s in SECTIONS for n, f in s.model_fields.items() if not f.description] == []


def test_a_mistyped_variable_is_told_with_the_one_that_was_meant() -> None:
    environment = {
        "NBWATER_GATEWAY_PRT": "1", "nbwater_gatway_port": "2", "NBWATER_ZZZ": "", "NBWATER_GATEWAY_PORT": "3",
        "nbwater_api_host": "", "NBWATER_CONFIG": "", "NBWATER_DATA": "", "NBWATER_TEST_TIMESCALE_URL": "", "HOME": "",
    }  # fmt: skip
    assert unknown_variables(environment) == [
        "unknown setting NBWATER_GATEWAY_PRT; is NBWATER_GATEWAY_PORT meant?",
        "unknown setting NBWATER_ZZZ",
        "unknown setting nbwater_gatway_port; is NBWATER_GATEWAY_PORT meant?",
    ]
