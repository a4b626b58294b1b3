"""A wall clock that somebody steps from outside while the program runs.

`nbwater simulate chaos` puts a folder in front of PYTHONPATH whose `sitecustomize` calls `install`: `time.time` and
`time.time_ns`, by which programs read the wall clock (`metering/clock.py`), then add what stands in a file of eight
bytes, one for each program. The monotonic clock goes on as it does when an administrator or NTP steps a real clock.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path

_OFFSET_NS = struct.Struct("<q")


def hook(folder: Path, roles: tuple[str, ...]) -> Path:
    """Write what PYTHONPATH needs below `folder`; returns that path."""
    path = folder / "pythonpath"
    path.mkdir(parents=True)
    for role in roles:
        (folder / role).write_bytes(_OFFSET_NS.pack(0))
    script = f"from deploy.chaos.stepped_clock import install\ninstall({str(folder)!r})\n"
    (path / "sitecustomize.py").write_text(script)
    return path


def step(folder: Path, role: str, seconds: float) -> None:
    """From now on the clock of the role's programs is wrong by so much."""
    with (folder / role).open("r+b") as file:
        file.write(_OFFSET_NS.pack(int(seconds * 1_000_000_000)))


def install(folder: str) -> None:
    """In the program itself, before anything else is imported. Programs without a file keep their clock."""
    role = role_of(sys.orig_argv)
    path = Path(folder) / role
    if not role or not path.is_file():
        return
    with path.open("rb") as file:
        offset = mmap.mmap(file.fileno(), _OFFSET_NS.size, prot=mmap.PROT_READ)
    true_ns, read = time.time_ns, _OFFSET_NS.unpack_from

    def time_ns() -> int:
        stepped: int = true_ns() + read(offset)[0]
        return stepped

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


def role_of(arguments: list[str]) -> str:
    """`python -m gateway …`: gateway; `python -m deploy settlement …`: settlement."""
    if "-m" not in arguments[:-1]:
        return ""
    at = arguments.index("-m") + 1
    module, following = arguments[at].partition(".")[0], arguments[at + 1 : at + 2]
    if arguments[at] == "ingest.settlement" or (module == "deploy" and following == ["settlement"]):
        return "settlement"
    return module
