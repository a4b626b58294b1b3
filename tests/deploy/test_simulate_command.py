from pathlib import Path

import pytest

from deploy.cli import main


@pytest.mark.parametrize("kind", ["town", "replay", "load"])
def test_help_needs_no_platform(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--data", str(tmp_path), kind, "--help"]) == 0
    assert "--data" in capsys.readouterr().out


def test_chaos_has_a_platform_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "chaos", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--seed" in said
    assert "--data" not in said


def test_the_directory_may_stand_before_or_after_the_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = tmp_path / "wanted"
    for arguments in (
        ["--data", str(wanted), "load"],
        ["load", "--data", str(wanted)],
        ["--data", str(tmp_path / "other"), "load", "--data", str(wanted)],
    ):
        assert main(["simulate", *arguments]) == 1
        assert f"nothing runs on {wanted}:" in capsys.readouterr().err


def test_the_gateway_too_may_stand_after_the_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--data", str(tmp_path), "load", "--coap-port", "1", "--no-verify"]) == 1
    assert "127.0.0.1" in capsys.readouterr().err


def test_the_demos_history_has_the_towns_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--data", str(tmp_path / "town"), "--days", "731"]) == 2
    assert "0<=x<=730" in capsys.readouterr().err
    assert not (tmp_path / "town").exists()
