"""`nbwater simulate city`: what it writes, and what it refuses."""

import json

import pytest
from click.testing import CliRunner

from deploy.commands.simulate import simulate


def called(*arguments):
    return CliRunner().invoke(simulate, ["city", *arguments])


def test_files_need_no_platform(tmp_path):
    done = called("--to", str(tmp_path / "city"), "--meters", "20", "--days", "3", "--districts", "2", "--reports")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["meters"], said["days"], said["districts"]) == (20, 3, 2)
    assert {file.name for file in (tmp_path / "city").iterdir()} == {
        "readings.csv", "dma_inlet.csv", "inflow.csv", "reports.csv", "truth.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--speed", "3"), "--speed is not for --to"),
        (("--truth", "t.json"), "--truth is not for --to"),
        (("--start", "2023-12-31"), "from 2024-01-01"),
        (("--days", "0"), "at least one day"),
    ],
)
def test_what_files_cannot_have_is_refused(tmp_path, arguments, why):
    done = called("--to", str(tmp_path / "city"), *arguments)
    assert done.exit_code == 2
    assert why in done.output
    assert not (tmp_path / "city").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    done = called("--to", str(tmp_path / "file" / "city"), "--meters", "5", "--days", "1")
    assert done.exit_code == 1
    assert "cannot be written" in done.output


def test_without_files_options_of_files_are_refused(tmp_path):
    done = called("--faults", "0.5", "--coap-port", "1", "--data", str(tmp_path))
    assert done.exit_code == 2
    assert "--faults is for --to" in done.output
