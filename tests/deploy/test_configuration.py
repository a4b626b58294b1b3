import tomllib
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.configuration import render
from metering.errors import SettingsError
from metering.settings import SECTIONS, DatabaseSettings, load


def test_every_section_and_field_is_there_with_its_comment() -> None:
    text = render()
    document = tomllib.loads(text)
    for section in SECTIONS:
        assert set(document[section.table]) == set(section.model_fields)
        for field in section.model_fields.values():
            assert field.description in text


def test_what_is_printed_is_a_configuration_file_with_the_same_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBWATER_UTILITY_NAME_ZH", 'quotes " and \\ and 水')
    monkeypatch.setenv("NBWATER_GATEWAY_BATCH_MS", "7.5")
    monkeypatch.setenv("NBWATER_API_BEHIND_TLS_PROXY", "true")
    printed = tmp_path / "printed.toml"
    printed.write_text(render())
    before = [load(section).model_dump() for section in SECTIONS]
    for name in ("NBWATER_UTILITY_NAME_ZH", "NBWATER_GATEWAY_BATCH_MS", "NBWATER_API_BEHIND_TLS_PROXY"):
        monkeypatch.delenv(name)
    assert [load(section, str(printed)).model_dump() for section in SECTIONS] == before


def test_it_says_where_a_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nbwater.toml"
    file.write_text('[utility]\nname_en = "Somewhere"\n[api]\nport = 9000\n')
    monkeypatch.setenv("NBWATER_CONFIG", str(file))
    monkeypatch.setenv("NBWATER_API_PORT", "9999")
    text = render()
    assert f'name_en = "Somewhere"  # from {file}; default "Huludao Water"' in text
    assert "port = 9999  # from NBWATER_API_PORT; default 8080" in text


def test_secrets_are_masked_and_their_lines_are_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBWATER_DATABASE_URL", "postgresql://u:opensesame@h/d")
    monkeypatch.setenv("NBWATER_API_SESSION_SECRET", "opensesame")
    text = render()
    assert "opensesame" not in text
    assert '# url = "********"  # secret, from NBWATER_DATABASE_URL' in text
    printed = tmp_path / "printed.toml"
    printed.write_text(text)
    monkeypatch.delenv("NBWATER_DATABASE_URL")
    assert load(DatabaseSettings, str(printed)).url.get_secret_value() == ""


def test_a_wrong_value_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBWATER_API_PORT", "many")
    assert main(["config", "print"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "api.port" in error


def test_a_missing_file_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.toml"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NBWATER_CONFIG", "")
        assert main(["--config", str(missing), "config", "print"]) == 1
    assert capsys.readouterr().err == f"nbwater: configuration file {missing}: No such file or directory\n"


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBWATER_CONFIG", "")
    with pytest.raises(SettingsError, match=r"none\.toml"):
        render(str(tmp_path / "none.toml"))


def test_a_mistyped_variable_is_told_beside_the_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBWATER_GATEWAY_PRT", "5700")
    assert main(["config", "print"]) == 0
    out, err = capsys.readouterr()
    assert err == "nbwater: unknown setting NBWATER_GATEWAY_PRT; is NBWATER_GATEWAY_PORT meant?\n"
    assert "PRT" not in out
