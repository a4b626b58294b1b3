"""What `nbwater up` and other commands refuse: one clear line on stderr, exit code 1, nothing left running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from metering.schema_version import SCHEMA_VERSION

ROOT = Path(__file__).parents[2]


def nbwater(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NBWATER_")} | {"NBWATER_MQTT_PORT": "0"}
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments],
        capture_output=True, text=True, env=inherited | environment, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip


def up(data: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    chosen = {"--coap-port": "0", "--http-port": "0"} | dict(zip(options[::2], options[1::2], strict=True))
    return nbwater("up", "--data", str(data), *(part for pair in chosen.items() for part in pair), **environment)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("nbwater: ")
    return done.stderr


@pytest.mark.parametrize(
    ("kind", "option", "purpose"),
    [(socket.SOCK_DGRAM, "--coap-port", "CoAP"), (socket.SOCK_STREAM, "--http-port", "pages")],
)
def test_a_taken_port(tmp_path: Path, kind: socket.SocketKind, option: str, purpose: str) -> None:
    with socket.socket(socket.AF_INET, kind) as neighbour:
        neighbour.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            neighbour.listen()
        port = neighbour.getsockname()[1]
        line = one_line(up(tmp_path / "data", option, str(port)))
    assert f"port {port} ({purpose})" in line
    assert option in line
    assert not (tmp_path / "data").exists()


def test_an_address_that_would_need_tls(tmp_path: Path) -> None:
    line = one_line(up(tmp_path / "data", "--host", "0.0.0.0"))
    assert "--host" in line
    for variable in ("NBWATER_API_TLS_CERTIFICATE", "NBWATER_API_TLS_KEY", "NBWATER_API_BEHIND_TLS_PROXY"):
        assert variable in line
    assert not (tmp_path / "data").exists()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    line = one_line(up(tmp_path / "file" / "data"))
    assert "cannot be written" in line
    assert "--data" in line


async def test_a_database_of_a_newer_schema(tmp_path: Path, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, sha256, timescale) VALUES ($1, 'of_tomorrow', '', false)",
        SCHEMA_VERSION + 1,
    )
    await connection.close()
    line = one_line(up(tmp_path / "data", NBWATER_DATABASE_URL=database_url))
    assert f"version {SCHEMA_VERSION + 1}" in line
    assert "update nbwater" in line


def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    line = one_line(up(tmp_path / "data", NBWATER_DATABASE_URL="postgresql://me:opensesame@127.0.0.1:1/nbwater"))
    assert "127.0.0.1:1/nbwater" in line
    assert "opensesame" not in line


def test_a_stream_that_cannot_be_reached(tmp_path: Path, database_url: str) -> None:
    line = one_line(
        up(tmp_path / "data", NBWATER_NATS_URL="nats://me:opensesame@127.0.0.1:1", NBWATER_DATABASE_URL=database_url)
    )
    assert "NATS at 127.0.0.1:1 cannot be reached" in line
    assert "Connect call failed" in line
    assert "opensesame" not in line


def test_commands_without_a_running_platform_say_how_to_get_one(tmp_path: Path) -> None:
    meters = tmp_path / "meters.csv"
    meters.write_text("serial\n1\n")
    for command in (
        ["migrate"],
        ["users", "list"],
        ["meters", "import", str(meters)],
        ["tokens", "create", "x"],
        ["dead-letters", "list"],
    ):
        line = one_line(nbwater(*command, "--data", str(tmp_path / "data")))
        assert "nbwater up" in line
        assert "NBWATER_DATABASE_URL" in line


def test_a_program_alone_says_what_it_needs() -> None:
    assert "NBWATER_NATS_URL and NBWATER_DATABASE_URL" in one_line(nbwater("ingest"))
    assert "settlement needs NBWATER_DATABASE_URL;" in one_line(nbwater("settlement"))


def test_wrong_rows_are_named_and_nothing_is_imported(tmp_path: Path, database_url: str) -> None:
    meters = tmp_path / "meters.csv"
    meters.write_text("serial,dn_mm\n1,15\n2,wide\n3\n")
    done = nbwater("meters", "import", str(meters), NBWATER_DATABASE_URL=database_url)
    assert done.returncode == 1
    assert "line 3, dn_mm: " in done.stderr
    assert "line 4: 1 fields, the header has 2" in done.stderr
    assert "nothing was imported" in done.stderr


def test_networks_must_be_networks(tmp_path: Path) -> None:
    meters = tmp_path / "meters.csv"
    meters.write_text("serial\n1\n")
    done = nbwater("meters", "import", str(meters), "--plain-coap", "10.0.0.0/8,the-office")
    assert done.returncode == 2
    assert "nbwater: Invalid value for '--plain-coap': 'the-office'" in done.stderr


def test_help_of_every_command_is_there() -> None:
    done = nbwater("--help")
    assert done.returncode == 0
    for command in (
        "up",
        "demo",
        "gateway",
        "ingest",
        "settlement",
        "api",
        "migrate",
        "simulate",
        "meters",
        "dead-letters",
        "users",
        "tokens",
        "config",
    ):
        assert f"\n  {command} " in done.stdout
