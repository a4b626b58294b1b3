"""The factory's file of keys: for its owner only, written once, gone when the keys did not become valid."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deploy.key_files import written
from ingest.registry.credentials import KeyHolder
from ingest.registry.key_rows import parse_key_file
from metering.credentials import CredentialKind
from metering.errors import RequestError
from metering.new_keys import new_key

IMEI = "861234567890123"
ROWS = [(KeyHolder(n, IMEI, n, f"{IMEI[:-1]}{n}", f"{IMEI[:-1]}{n}", f"100{n}"), new_key(kind, f"{IMEI[:-1]}{n}"))
        for n, kind in enumerate(CredentialKind)]  # fmt: skip


@pytest.mark.parametrize("name", ["keys.csv", "keys.xlsx"])
def test_what_is_written_can_be_imported(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with written(file, ROWS):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [(row.name, row.key) for row in parse_key_file(file.read_bytes())] == [
        (holder.device, key) for holder, key in ROWS
    ]


def test_standard_output_gets_csv(capsys: pytest.CaptureFixture[str]) -> None:
    with written(None, ROWS):
        pass
    assert [row.key for row in parse_key_file(capsys.readouterr().out.encode())] == [key for _, key in ROWS]


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.csv"
    file.write_text("mine")
    with pytest.raises(RequestError, match="exists"), written(file, ROWS):
        pass
    assert file.read_text() == "mine"
    with pytest.raises(RequestError), written(tmp_path / "missing" / "keys.csv", ROWS):
        pass


def test_keys_that_did_not_become_valid_are_not_left_behind(tmp_path: Path) -> None:
    file = tmp_path / "keys.csv"
    with pytest.raises(ConnectionError), written(file, ROWS):
        raise ConnectionError
    assert not file.exists()
