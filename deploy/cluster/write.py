"""Writes the files of a cluster's hosts, with secrets that are made once and kept."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path

from deploy.accounts import LOGINS, MQTT_SECRETS
from deploy.cluster.configuration import Secrets, files
from deploy.cluster.plan import Plan
from deploy.embedded.nats import USERS
from deploy.instance import write_private
from metering.credentials import MASTER_KEY_BYTES
from metering.errors import StartError

SECRETS_FILE = "secrets.json"


def write(plan: Plan, out: Path) -> list[Path]:
    """The files written, all readable by their owner only. Raises StartError."""
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = load_secrets(out)
        written = []
        for name, text in files(plan, kept):
            path = out / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, text)
            written.append(path)
    except OSError as error:
        raise StartError(f"{out} cannot be written: {error}") from error
    return written


def load_secrets(out: Path) -> Secrets:
    """Those of an earlier run, completed with what it did not have. Raises StartError for a file that is damaged."""
    path = out / SECRETS_FILE
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
        made = Secrets(
            nats={user: _password() for user in USERS} | found.get("nats", {}),
            routes=found.get("routes") or _password(),
            database={program: _password() for program in LOGINS} | found.get("database", {}),
            database_owner=found.get("database_owner") or _password(),
            sessions=found.get("sessions") or _password(),
            mqtt={name: secrets.token_hex(32) for name in MQTT_SECRETS} | found.get("mqtt", {}),
            master_keys=found.get("master_keys") or {"0": secrets.token_hex(MASTER_KEY_BYTES)},
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise StartError(f"{path} cannot be used: {error}") from error
    write_private(path, json.dumps(asdict(made), indent=2) + "\n")
    return made


def _password() -> str:
    return secrets.token_hex(24)
