"""`nbwater simulate city` and `town`: people, faults and radio, through a platform's doors or straight to files."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from metering.process import on_stop_signal
from simulators.city.files import MAX_METERS, CityFiles
from simulators.city.mains import mains
from simulators.city.plan import CityOptions
from simulators.city.truth import of_doors
from simulators.city.zones import piping
from simulators.doors.parameter import Doors
from simulators.local_time import DAY_S, local_text
from simulators.session import console, run
from simulators.target import DOORS, Target
from simulators.town import MAX_HISTORY_DAYS, Show, Town, TownCounts, TownOptions
from simulators.town_history import SILENT_FOR_S
from simulators.town_plan import make_meters
from simulators.water.calendar import END_S, EPOCH, EPOCH_S

HISTORY_IS_IN = "the history is in:"
"""Begins the line on stderr that says so; `nbwater demo` looks for it."""
MAX_PLAYED, MAX_DISTRICTS = 100_000, 99
DEFAULT_START = "2025-01-06"
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
Command = TypeVar("Command", bound=Callable[..., Any])

SEED = click.option("--seed", type=click.IntRange(0), default=1, show_default=True,
                    help="The same seed is the same town.")  # fmt: skip
LIVING = (
    click.option("--report-every", "report_every_s", type=click.FloatRange(1), default=120.0, show_default=True,
                 help="s between two reports of a meter once the town is live; real meters: 86400."),
    click.option("--speed", type=click.FloatRange(0), default=0.0, show_default=True,
                 help="Play history this much faster than it happened; 0: as fast as it is taken."),
    click.option("--duration", "duration_s", type=click.FloatRange(0), help="s to live on; default: until Ctrl-C."),
    click.option("--oscore", is_flag=True,
                 help="Meters have keys and protect their reports (RFC 8613): --doors oscore."),
    click.option("--doors", type=Doors(), default="coap", show_default=True,
                 help=f"By which doors meters speak, with commas, or all: {', '.join(DOORS)}."),
)  # fmt: skip
TO_FILES = (
    click.option("--to", "directory", type=click.Path(file_okay=False, path_type=Path),
                 help="Write files there instead, as fast as the machine can; no platform is needed."),
    click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default=DEFAULT_START, show_default=True,
                 help="With --to: the first day."),
    click.option("--districts", type=click.IntRange(1, MAX_DISTRICTS), default=1, show_default=True,
                 help="With --to: districts with an inlet meter each."),
    click.option("--faults", type=click.FloatRange(0, 1), default=0.3, show_default=True,
                 help="With --to: share of the meters in use that have a fault, or something harmless like one."),
    click.option("--reports", is_flag=True, help="With --to: also reports.csv, what arrived when, by which cell."),
)  # fmt: skip


def these(options: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@dataclass(frozen=True, slots=True)
class Living:
    """What the command line says of a town that plays through doors."""

    report_every_s: float
    speed: float
    duration_s: float | None
    oscore: bool
    doors: tuple[str, ...]

    def options(self, meters: int, days: int, seed: int) -> TownOptions:
        doors = ("oscore",) if self.oscore else self.doors
        return TownOptions(meters, days, seed, self.report_every_s, self.speed, self.duration_s, doors)


@click.command()
@click.option("--meters", type=click.IntRange(1, MAX_PLAYED), default=300, show_default=True)
@click.option("--days", type=click.IntRange(0, MAX_HISTORY_DAYS), default=14, show_default=True,
              help="History to play in first.")  # fmt: skip
@SEED
@these(LIVING)
@click.pass_obj
def town(target: Target, /, meters: int, days: int, seed: int, **living: Any) -> None:
    """A simulated Huludao: registers its meters, plays their history in, then goes on in real time.

    Prints one JSON object of counts on stdout at the end.
    """
    _play(target, Living(**living).options(meters, days, seed), None)


@click.command()
@click.option("--meters", type=click.IntRange(1, MAX_METERS), default=300, show_default=True,
              help=f"Through doors {MAX_PLAYED} at most.")  # fmt: skip
@click.option("--days", type=click.IntRange(0, (END_S - EPOCH_S) // DAY_S), default=14, show_default=True,
              help="History to play in first, or days to write.")  # fmt: skip
@SEED
@these(TO_FILES)
@these(LIVING)
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path),
              help="Through doors: write there which meters have which faults from when to when.")  # fmt: skip
@click.pass_context
def city(
    context: click.Context,
    /,
    meters: int,
    days: int,
    seed: int,
    directory: Path | None,
    start: datetime,
    districts: int,
    faults: float,
    reports: bool,
    truth: Path | None,
    **living: Any,
) -> None:
    """A city of homes and commerce with known faults, to files (--to) or through a platform's doors.

    To files: readings.csv (meter_id,ts,index_l; hourly), dma_inlet.csv, truth.json in the form of leakbench, of several
    districts inflow.csv (L/s) besides. Through doors: registers its meters, plays their history in (--speed), then
    goes on in real time. Prints one JSON object on stdout at the end. docs/city.md says what it consists of.
    """
    if directory is None:
        if meters > MAX_PLAYED or days > MAX_HISTORY_DAYS:
            raise click.UsageError(f"through doors {MAX_PLAYED} meters and {MAX_HISTORY_DAYS} days at most")
        _refuse(context, ("start", "districts", "faults", "reports"), "is for --to")
        _play(context.obj, Living(**living).options(meters, days, seed), truth)
        return
    _refuse(context, (*living, "truth"), "is not for --to")
    start_s = EPOCH_S + (start.date() - EPOCH).days * DAY_S
    if days < 1 or start_s < EPOCH_S or start_s + days * DAY_S > END_S:
        raise click.UsageError(f"at least one day, from {EPOCH} to {local_text(END_S - 1)[:10]}")
    _write(CityOptions(meters, days, start_s, seed, districts, faults), directory, reports)


def _refuse(context: click.Context, names: tuple[str, ...], why: str) -> None:
    """What would be ignored: raises UsageError."""
    given = click.core.ParameterSource.COMMANDLINE
    for name in names:
        if context.get_parameter_source(name) is given:
            parameter = next(one for one in context.command.params if one.name == name)
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def _write(options: CityOptions, directory: Path, with_reports: bool) -> None:
    began = time.monotonic()
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("city", total=options.meters * options.days)
        try:
            written = CityFiles(options, directory, lambda done: bar.advance(task, done)).write(with_reports)
        except OSError as error:
            raise click.ClickException(f"{directory} cannot be written: {error}") from error
    took_s = time.monotonic() - began
    speed = round(options.meters * options.days / took_s)
    result = {**asdict(options), **written._asdict(), "took_s": round(took_s, 1), "meter_days_per_second": speed}
    click.echo(json.dumps(result))


def _play(target: Target, options: TownOptions, truth: Path | None) -> None:
    with console.status("town") as status:
        phase = ""

        def show(counts: TownCounts) -> None:
            nonlocal phase
            if counts.phase == "live" != phase and counts.history:
                console.print(
                    f"{HISTORY_IS_IN} {options.days} days, {counts.sent} reports", highlight=False, soft_wrap=True
                )
                for door, why in counts.shut.items():
                    console.print(f"the door {door} is shut: {why}", highlight=False, soft_wrap=True)
            phase = counts.phase
            of = f" of {counts.history}" if counts.phase == "history" else ""
            status.update(f"{counts.phase}: {counts.sent}{of} sent, {counts.answered} answered, "
                          f"{counts.refused} refused, {counts.unknown} unknown")  # fmt: skip

        counts = run(target, _live(target, options, show, truth))
    click.echo(json.dumps(counts.as_dict()))


async def _live(target: Target, options: TownOptions, show: Show, truth: Path | None) -> TownCounts:
    """The truth is written at the begin, as far as is known then, and at the end."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    meters, began_s = make_meters(options.seed, options.meters), int(time.time())
    pipes = mains(options.seed, meters)

    def tell(until_s: int) -> None:
        if truth is not None:
            from_s = max(EPOCH_S, began_s - options.days * DAY_S)
            known = of_doors(options.seed, meters, pipes, from_s, until_s, began_s - SILENT_FOR_S)
            truth.parent.mkdir(parents=True, exist_ok=True)
            truth.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")

    tell(began_s)
    try:
        return await Town(target, options, meters, piping(pipes, meters), stop, show).run()
    finally:
        tell(int(time.time()))
