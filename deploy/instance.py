"""What a running `nbwater up` says of itself in its data directory, and how other commands find servers by it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from metering.errors import StartError
from metering.settings import DatabaseSettings, NatsSettings, load

DEFAULT_DATA = "var/nbwater"
DEMO_DATA = "var/demo"
DATA_VARIABLE = "NBWATER_DATA"


@dataclass(frozen=True, slots=True)
class Instance:
    """Contents of ``DIR/run/instance.json`` (mode 0600: the addresses hold credentials)."""

    pid: int
    coap_port: int
    api_url: str
    database_url: str
    """With the rights of the owner."""
    nats_url: str
    """With the administrator's rights."""
    nats_monitor_url: str
    mqtt_port: int = 0
    """Of nats-server's listener for meters; 0: there is none of ours."""
    programs: dict[str, Any] = field(default_factory=dict)
    coaps_port: int = 0
    """0: there is no DTLS port."""

    def write(self, data: Path) -> None:
        path = _path(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step; nobody else can read it at any moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def forget(data: Path) -> None:
    _path(data).unlink(missing_ok=True)


def find(data: Path) -> Instance | None:
    """The instance running on `data`, if one is."""
    try:
        found = Instance(**json.loads(_path(data).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if is_locked(data) else None


def database_url(data: Path) -> str:
    """Where commands find the database: settings first, then the instance on `data`. Raises StartError."""
    if url := load(DatabaseSettings).url.get_secret_value():
        return url
    return _running(data, "NBWATER_DATABASE_URL").database_url


def nats_url(data: Path) -> str:
    """As `database_url`, for the stream."""
    if url := load(NatsSettings).url.get_secret_value():
        return url
    return _running(data, "NBWATER_NATS_URL").nats_url


def _running(data: Path, variable: str) -> Instance:
    if (instance := find(data)) is not None:
        return instance
    if is_locked(data):
        raise StartError(f"the platform on {data} is starting or stopping: try again in some seconds")
    raise StartError(
        f"nothing runs on {data}: start `nbwater up --data {data}`, name another directory with --data, "
        f"or set {variable}"
    )


class Lock:
    """Held by the one `nbwater up` of a data directory; the kernel lets go of it when the process dies."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._file: int | None = None

    def take(self) -> None:
        """Raises StartError when another process holds it."""
        path = _lock_path(self._data)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock_patiently(file)
        except OSError as error:
            holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
            os.close(file)
            raise StartError(
                f"another nbwater up (process {holder}) uses {self._data}: stop it, or name another --data"
            ) from error
        os.truncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    @property
    def is_held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock_patiently(file: int) -> None:
    """Raises OSError; not for a command that only looked whether somebody holds the lock (see `is_locked`)."""
    for _ in range(9):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.05)
    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(data: Path) -> bool:
    """Whether an `nbwater up` runs on `data`."""
    try:
        file = os.open(_lock_path(data), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(file)


def _path(data: Path) -> Path:
    return data / "run" / "instance.json"


def _lock_path(data: Path) -> Path:
    return data / "run" / "lock"
