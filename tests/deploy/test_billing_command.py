"""`nbwater billing` against a real database: open, close, export, list."""

from __future__ import annotations

import asyncio
import csv
import os
from pathlib import Path

import asyncpg
import pytest
from openpyxl import load_workbook
from pyarrow import parquet

from api.accounts import create_token, create_user
from api.database import open_write_pool
from api.roles import Role
from deploy.cli import main


async def prepare(url: str) -> str:
    """Two settled days of one meter; the token of an engineer."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO meters (serial) VALUES ('S1'); INSERT INTO devices (device) VALUES ('D1');"
        "INSERT INTO service_points (customer) VALUES ('=1+1');"
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, multiplier) "
        "VALUES (1, 1, 1, '2020-01-01Z', 10);"
        "INSERT INTO settled_days SELECT 1, '2026-03-01'::date + n, n * 1000, (n + 1) * 1000, 1000, 0, 'measured', "
        "'{}', true, 24 FROM generate_series(0, 1) n"
    )
    await connection.close()
    pool = await open_write_pool(url, 1)
    await create_user(pool, "li", Role.ENGINEER, "a-password-of-tests", actor="test")
    token = await create_token(pool, "of-li", "li", Role.ENGINEER, actor="test")
    await pool.close()
    return token


async def test_a_period_from_opening_to_the_file(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = await prepare(database_url)
    monkeypatch.setenv("NBWATER_DATABASE_URL", database_url)
    monkeypatch.setenv("NBWATER_TOKEN", token)
    at = ["--data", str(tmp_path)]

    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(main, ["billing", *arguments, *at])

    assert await run("open", "2026-03", "2026-03-01", "2026-03-02") == 0
    assert await run("list") == 0
    assert capsys.readouterr().out.endswith("2026-03-02  open\n"), "no sums before there are any"
    assert await run("close", "2026-03") == 2, "for good, and only with a reason"
    assert await run("close", "2026-03", "--reason", "all read") == 0
    assert await run("close", "2026-03", "--reason", "all read") == 1
    assert "closed already" in capsys.readouterr().err
    assert await run("list") == 0
    assert "closed  1 entries, 20000 ml, 0 corrections" in capsys.readouterr().out
    assert await run("corrections", "2026-03") == 0
    assert await run("export", "2026-03", str(tmp_path / "a.csv")) == 0
    assert await run("export", "2026-03", str(tmp_path / "a.xlsx")) == 0
    assert await run("export", "2026-03", str(tmp_path / "a.parquet")) == 0
    assert await run("export", "2026-03", str(tmp_path / "a.doc")) == 2
    assert await run("export", "2026-03", str(tmp_path / "away" / "a.csv")) == 1
    assert "No such file or directory" in capsys.readouterr().err
    assert await run("export", "none", str(tmp_path / "a.csv")) == 1  # and the file of before is still there
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.parquet", "a.xlsx"]
    assert await run("open", "typo", "2026-04-01", "2026-05-31") == 0
    assert await run("drop", "typo", "--reason", "wrong last day") == 0
    assert await run("drop", "2026-03", "--reason", "wrong last day") == 1
    (line,) = csv.DictReader((tmp_path / "a.csv").read_text("utf-8-sig").splitlines())
    assert (line["customer"], line["billed_ml"], line["complete"]) == ("'=1+1", "20000", "true")
    assert len(list(load_workbook(tmp_path / "a.xlsx").active.rows)) == 2
    assert parquet.read_table(tmp_path / "a.parquet")["billed_ml"].to_pylist() == [20_000]
