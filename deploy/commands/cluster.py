"""`nbwater cluster configure`, `nbwater cluster rehearse`: the production topology, written down and tried out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click

from deploy.cluster.bed.faults import FAULTS
from deploy.cluster.bed.network import unavailable
from deploy.cluster.bed.rehearsal import Options
from deploy.cluster.plan import parse
from deploy.cluster.write import write
from deploy.supervision.parent_death import dies_with_parent
from metering.errors import StartError


@click.group()
def cluster() -> None:
    """Several hosts: three NATS nodes, gateways, ingest and settlement with a standby, pages."""


@cluster.command()
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder that is written; holds secrets.",
)
def configure(plan: Path, out: Path) -> None:
    """Write the files of each host: nats.conf, settings of the programs, systemd units.

    PLAN says which host does what; deploy/cluster/example.toml is one. Passwords are made once and kept in OUT: after
    a change of the plan run it again. How to go on: docs/production.md.
    """
    for path in write(parse(plan.read_text("utf-8")), out):
        click.echo(path)


@cluster.command()
@click.option("--faults", default="", help=f"Which, with commas; default all: {', '.join(FAULTS)}.")
@click.option("--reports-per-second", type=click.FloatRange(min=1), default=150.0, show_default=True)
@click.option("--meters", type=click.IntRange(1), default=150, show_default=True, help="How many meters report.")
@click.option("--partitions", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--hold", "hold_s", type=click.FloatRange(min=0), default=8.0, show_default=True,
              help="s that a fault lasts once it is felt.")  # fmt: skip
@click.option("--keep", is_flag=True, help="Leave configuration and logs of the hosts, and say where.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the result here.")
def rehearse(
    faults: str,
    reports_per_second: float,
    meters: int,
    partitions: int,
    hold_s: float,
    keep: bool,
    json_path: Path | None,
) -> int:
    """Run the whole cluster on this machine, each host a network namespace, and do it harm under load.

    Afterwards every report that was answered must be in the database exactly once, with the values that were sent, and
    every report in the stream accounted for. Needs root and iproute2; touches nothing of the machine's own network.
    Exit code 2: the reconciliation found a fault.
    """
    wanted = tuple(name.strip() for name in faults.split(",") if name.strip())
    if unknown := [name for name in wanted if name not in FAULTS]:
        raise click.UsageError(f"unknown fault(s) {', '.join(unknown)}; known: {', '.join(FAULTS)}")
    if reason := unavailable():
        raise StartError(f"no cluster can be rehearsed here: {reason}")
    options = Options(wanted, reports_per_second, meters, partitions, hold_s, keep)
    command = [sys.executable, "-m", "deploy.cluster.bed.rehearsal", json.dumps(asdict(options))]
    done = subprocess.run(  # noqa: S603 - our own command
        command, check=False, stdout=subprocess.PIPE, text=True, preexec_fn=dies_with_parent(signal.SIGTERM)
    )
    click.echo(done.stdout, nl=False)
    if json_path is not None and done.stdout:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(done.stdout)
    return done.returncode
