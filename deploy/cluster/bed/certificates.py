"""Throw-away certificates for the rehearsal, by the openssl command. A real cluster has those of its own authority."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from metering.errors import StartError

DAYS = "2"


def available() -> bool:
    return shutil.which("openssl") is not None


def make(folder: Path, hosts: Mapping[str, str]) -> None:
    """ca.pem, and HOST.pem with HOST.key for each host's address. Raises StartError."""
    folder.mkdir(mode=0o700)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    _openssl(
        folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", DAYS, "-subj", "/CN=rehearsal"
    )
    for host, address in hosts.items():
        _openssl(
            folder, "req", "-x509", *key, "-CA", "ca.pem", "-CAkey", "ca.key", "-days", DAYS,
            "-keyout", f"{host}.key", "-out", f"{host}.pem", "-subj", f"/CN={host}",
            "-addext", f"subjectAltName=IP:{address}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "extendedKeyUsage=serverAuth,clientAuth",
        )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(  # noqa: S603 - openssl, with arguments of ours
        ["openssl", *arguments],  # noqa: S607 - whichever the machine has
        check=False, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise StartError(f"openssl {arguments[0]}: {done.stderr.strip()[-500:]}")
