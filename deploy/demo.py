"""`nbwater demo`: the platform with a simulated town on it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from deploy import programs
from deploy.doors import open_push
from deploy.supervision.child import Spec, Tell
from deploy.up import Options, up
from simulators.city.cli import HISTORY_IS_IN

METERS = 300
DAYS = 30
"""Districts are learned for three weeks before a burst is told."""


async def demo(data: Path, meters: int, days: int, tell: Tell) -> int:
    """Until Ctrl-C. Ports that are taken are replaced by the next free ones, and that is said."""
    open_push(data)
    return await up(Options(data, ports_may_move=True, known_password=True, guest=town(data, meters, days)), tell)


def town(data: Path, meters: int, days: int) -> Spec:
    """The simulator as one more child: it plays the history in and then lives on in real time."""
    arguments = ("--data", str(data), "city", "--meters", str(meters), "--days", str(days), "--doors", "all")
    return Spec(
        name="town",
        command=programs.command("deploy", "simulate", *arguments),
        environment=dict(os.environ),
        probe=lambda: True,  # nobody waits for it
        relayed=HISTORY_IS_IN,
        stop_timeout_s=5,
        orphan_signal=signal.SIGKILL,
    )
