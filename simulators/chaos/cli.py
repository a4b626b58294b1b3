"""`nbwater simulate chaos`. `ctx.obj` makes the platform to torment, given by whoever assembles the programs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop
from rich.console import Console

from metering.process import on_stop_signal
from simulators.admission import TargetError
from simulators.chaos.plan import Kind
from simulators.chaos.platform import Platform
from simulators.chaos.run import Chaos, ChaosOptions
from simulators.chaos.verdict import Verdict
from simulators.doors.parameter import Doors
from simulators.target import DOORS

SEED_BELOW = 1_000_000
NOT_RECONCILED = 1
INTERRUPTED = 130
console = Console(stderr=True)

MakePlatform = Callable[[], Platform]


class Kinds(click.ParamType[frozenset[Kind]]):
    """Kinds with commas, or `all`."""

    name = "KIND,…"

    def convert(
        self, value: str | frozenset[Kind], param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[Kind]:
        if isinstance(value, frozenset):
            return value
        try:
            return frozenset(Kind) if value == "all" else frozenset(map(Kind, value.split(",")))
        except ValueError as error:
            self.fail(f"{error}; there are {', '.join(Kind)}", param, ctx)


@click.command()
@click.option("--seed", type=click.IntRange(0), help="What goes wrong when; default: drawn, and said.")
@click.option("--minutes", type=click.FloatRange(0.3, 240), default=5.0, show_default=True, help="Of load and faults.")
@click.option("--faults", "kinds", type=Kinds(), default="all", show_default=True,
              help=f"Kinds, with commas: {', '.join(Kind)}.")  # fmt: skip
@click.option("--reports-per-second", type=click.FloatRange(min=0, min_open=True), default=120.0, show_default=True)
@click.option("--meters", type=click.IntRange(1), default=240, show_default=True)
@click.option("--doors", type=Doors(), default=",".join(DOORS), show_default=True, help="By which doors meters speak.")
@click.option("--keep", is_flag=True, help="Keep the data directory even when nothing is wrong.")
@click.option("--log", "log_path", type=click.Path(dir_okay=False, path_type=Path),
              help="Append the verdict here, one line of JSON.")  # fmt: skip
@click.pass_obj
def chaos(
    make_platform: MakePlatform,
    seed: int | None,
    minutes: float,
    kinds: frozenset[Kind],
    reports_per_second: float,
    meters: int,
    doors: tuple[str, ...],
    keep: bool,
    log_path: Path | None,
) -> None:
    """Kill, stop, starve and cut off a platform of its own under load, then account for every report.

    Everything happens in a new directory that goes away at the end. Exit code 1: something was lost, doubled, altered
    or not accounted for, or the platform did not recover by itself; then the directory stays, and is named.
    """
    seed = random.randrange(SEED_BELOW) if seed is None else seed  # noqa: S311 - a plan, no secret
    options = ChaosOptions(seed, minutes * 60, kinds, reports_per_second, meters, doors=doors)
    console.print(f"seed {seed}: again with nbwater simulate chaos --seed {seed} --minutes {minutes:g}")
    try:
        verdict = uvloop.run(torment(make_platform(), options, keep))
    except TargetError as error:
        raise click.ClickException(str(error)) from error
    if verdict is None:
        raise click.exceptions.Exit(INTERRUPTED)
    console.print(verdict.table())
    line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **verdict.as_dict()}, ensure_ascii=False)
    if log_path is not None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("a") as log:
            log.write(line + "\n")
    if not verdict.ok:
        raise click.exceptions.Exit(NOT_RECONCILED)


async def torment(platform: Platform, options: ChaosOptions, keep: bool) -> Verdict | None:
    """The verdict; None when SIGINT or SIGTERM came. Only the data of a run that found something is left behind."""
    running = asyncio.create_task(Chaos(platform, options, _tell).run())
    on_stop_signal(running.cancel)
    failed = True
    try:
        with contextlib.suppress(asyncio.CancelledError):
            verdict = await running
            failed = not verdict.ok
            return verdict
        failed = False
        return None
    finally:
        if keep or failed:
            _tell(f"the data stays in {platform.data}")
        await platform.stop(keep=keep or failed)


def _tell(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
