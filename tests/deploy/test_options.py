from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.commands.options import data_option
from deploy.instance import DATA_VARIABLE, DEFAULT_DATA, DEMO_DATA, Lock


@click.command()
@data_option()
def show(data: Path) -> None:
    click.echo(str(data))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("running", "meant"),
    [((), DEFAULT_DATA), ((DEMO_DATA,), DEMO_DATA), ((DEMO_DATA, DEFAULT_DATA), DEFAULT_DATA)],
)
def test_what_runs_here_is_meant(running: tuple[str, ...], meant: str) -> None:
    locks = [Lock(Path(data)) for data in running]
    for lock in locks:
        lock.take()
    assert CliRunner().invoke(show).output.strip() == meant
    for lock in locks:
        lock.release()


def test_what_is_named_is_meant() -> None:
    lock = Lock(Path(DEMO_DATA))
    lock.take()
    assert CliRunner().invoke(show, ["--data", "else"]).output.strip() == "else"
    assert CliRunner().invoke(show, env={DATA_VARIABLE: "other"}).output.strip() == "other"
    lock.release()
