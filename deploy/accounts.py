"""The secrets of one data directory, and the database logins made from them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import asyncpg

from deploy.embedded.nats import USERS
from deploy.instance import write_private
from metering.credentials import MASTER_KEY_BYTES
from metering.errors import StartError

SCRAM_ITERATIONS = 4096
"""PostgreSQL's default; the passwords are 256 random bits, which need no stretching."""

LOGINS: Mapping[str, str] = {
    "ingest": "nbwater_ingest",
    "settlement": "nbwater_settlement",
    "api": "nbwater_api",
    "reader": "nbwater_reader",
}
"""Group role of each program's login. `reader` is for people and dashboards; the gateway has no business there."""


MQTT_SECRETS = frozenset({"password", "callout_secret"})


def login_name(program: str) -> str:
    return f"{LOGINS[program]}_login"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Contents of ``DIR/secrets/accounts.json`` (mode 0600)."""

    nats: dict[str, str]
    database_owner: str
    database: dict[str, str]
    session_secret: str
    demo_password: str
    """Of the first administrator, when this directory is a demo's; otherwise of nobody."""
    mqtt: dict[str, str] = field(default_factory=dict)
    """`password` of the gateways at the MQTT listener, `callout_secret` by which they answer for meters there."""


def load_or_create(data: Path) -> Accounts:
    """Raises StartError for a file that cannot be used, or that is gone while the database it opens is still there."""
    path = data / "secrets" / "accounts.json"
    if path.exists():
        try:
            found = Accounts(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StartError(f"{path} cannot be used: {error}") from error
        is_complete = found.database.keys() >= LOGINS.keys() and found.mqtt.keys() >= MQTT_SECRETS
        return found if is_complete else _completed(found, path)
    if (data / "postgres" / "PG_VERSION").exists():
        raise StartError(f"{path} is gone, and with it the passwords of {data / 'postgres'}: put it back from a backup")
    made = Accounts(
        nats={user: secrets.token_hex(32) for user in USERS},
        database_owner=secrets.token_hex(32),
        database=_passwords(),
        session_secret=secrets.token_hex(32),
        demo_password=f"water-{secrets.token_hex(4)}",
        mqtt=_mqtt_secrets(),
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    write_private(path, json.dumps(asdict(made), indent=2) + "\n")
    return made


def master_key_path(data: Path) -> Path:
    """Where the master keys of a data directory lie."""
    return data / "secrets" / "master.keys"


def master_key_file(data: Path) -> Path:
    """The file of the master keys that seal device keys, made with one key when there is none yet."""
    path = master_key_path(data)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, f"0 {secrets.token_hex(MASTER_KEY_BYTES)}\n")
    return path


def _passwords() -> dict[str, str]:
    return {program: secrets.token_hex(32) for program in LOGINS}


def _mqtt_secrets() -> dict[str, str]:
    return {name: secrets.token_hex(32) for name in MQTT_SECRETS}


def _completed(found: Accounts, path: Path) -> Accounts:
    """With a password for each program that an earlier release did not have, and its other secrets."""
    completed = replace(found, database=_passwords() | found.database, mqtt=_mqtt_secrets() | found.mqtt)
    write_private(path, json.dumps(asdict(completed), indent=2) + "\n")
    return completed


async def make_logins(connection: asyncpg.Connection, database: str, passwords: Mapping[str, str]) -> None:
    """One login per program, a member of its group role and of nothing else. The server sees only SCRAM verifiers."""
    for program, group in LOGINS.items():
        login, verifier = login_name(program), scram_verifier(passwords[program])
        exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", login)
        verb = "ALTER" if exists else "CREATE"
        await connection.execute(f"{verb} ROLE {login} LOGIN PASSWORD '{verifier}'")
        await connection.execute(f"GRANT {group} TO {login}")
        await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {group}")


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803), so that the password itself is never in a statement."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"
