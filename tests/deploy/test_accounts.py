import json
import stat
from pathlib import Path

import asyncpg
import pytest

from deploy.accounts import LOGINS, load_or_create, login_name, make_logins, master_key_file
from deploy.embedded.postgres import PostgresServer
from metering.credentials import load_master_keys
from metering.errors import StartError
from metering.settings import KeysSettings


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    made = load_or_create(tmp_path)
    file = tmp_path / "secrets" / "accounts.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert load_or_create(tmp_path) == made
    flat = [made.database_owner, made.session_secret, *made.nats.values(), *made.database.values()]
    assert len(set(flat)) == len(flat)


def test_the_master_key_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    file = master_key_file(tmp_path)
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_master_keys(KeysSettings(master_file=str(file))) is not None
    assert master_key_file(tmp_path).read_text() == text


def test_lost_secrets_are_said_before_anything_is_harmed(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18")
    with pytest.raises(StartError, match="backup"):
        load_or_create(tmp_path)


def test_spoilt_secrets_are_said(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "accounts.json").write_text(json.dumps({"nats": {}}))
    with pytest.raises(StartError, match="cannot be used"):
        load_or_create(tmp_path)


def test_a_program_that_came_later_gets_its_password(tmp_path: Path) -> None:
    made = load_or_create(tmp_path)
    file = tmp_path / "secrets" / "accounts.json"
    earlier = json.loads(file.read_text())
    del earlier["database"]["settlement"]
    file.write_text(json.dumps(earlier))
    completed = load_or_create(tmp_path)
    assert completed.database["settlement"] not in ("", made.database["settlement"])
    assert completed.database["ingest"] == made.database["ingest"]
    assert load_or_create(tmp_path) == completed


async def test_each_login_has_only_its_programs_rights(
    tmp_path: Path, postgres_server: PostgresServer, database_url: str
) -> None:
    accounts = load_or_create(tmp_path)
    database = database_url.rpartition("/")[2]
    owner = await asyncpg.connect(database_url)
    for _ in range(2):  # the second start finds them
        await make_logins(owner, database, accounts.database)

    async def may(program: str, statement: str) -> bool:
        url = postgres_server.url(database, login_name(program), accounts.database[program])
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            return False
        finally:
            await connection.close()
        return True

    try:
        assert await may("ingest", "DELETE FROM readings")
        assert not await may("ingest", "SELECT * FROM users")
        assert await may("settlement", "DELETE FROM touched_spans")
        assert not await may("settlement", "DELETE FROM readings")
        assert await may("api", "SELECT * FROM users")
        assert not await may("api", "DELETE FROM readings")
        assert await may("reader", "SELECT * FROM readings")
        assert not await may("reader", "SELECT * FROM api_tokens")
        for program in LOGINS:
            assert not await may(program, "CREATE TABLE mine (x int)")
    finally:
        await owner.close()
