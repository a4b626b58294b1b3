"""`nbwater simulate …`: `city`, `town`, `replay`, `load`, `push`. `ctx.obj` is the Target, built by the assembler."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from metering.model import ContentFormat
from simulators.chaos.cli import chaos
from simulators.city.cli import city, town
from simulators.exchange import NB_IOT, Timers
from simulators.http_line import Receiver
from simulators.load import LoadOptions, LoadResult, LoadRun, run_load
from simulators.platform_rules import PAUSE_S
from simulators.push import PushedTown, run_pushed_town
from simulators.recording import Recorded
from simulators.replay import ReplayOptions, run_replay
from simulators.session import console, run
from simulators.target import Target

NOT_RECONCILED = 2
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())


@click.group()
def simulate() -> None:
    """Play meters against the platform's CoAP door."""


simulate.add_command(chaos)
simulate.add_command(city)
simulate.add_command(town)


@simulate.command()
@click.option("--reports-per-second", type=click.FloatRange(min=0, min_open=True), default=500.0, show_default=True)
@click.option("--meters", type=click.IntRange(1), default=1000, show_default=True, help="How many meters report.")
@click.option("--duration", "duration_s", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="s")
@click.option("--readings", type=click.IntRange(2), default=24, show_default=True, help="Readings per report.")
@click.option("--format", "format_name", type=click.Choice(["cbor", "json"]), default="cbor", show_default=True)
@click.option("--verify/--no-verify", default=True, help="Look for every report in the database afterwards.")
@click.option("--oscore", is_flag=True, help="Meters have keys and protect their reports (RFC 8613).")
@click.option("--nb-iot", is_flag=True, help="Retransmit after 10 s, as NB-IoT firmware does, not after 2 s.")
@click.option(
    "--max-wait", "max_wait_s", type=float, default=300.0, show_default=True, help="s to let ingest catch up."
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the result here.")
@click.pass_obj
def load(
    target: Target,
    reports_per_second: float,
    meters: int,
    duration_s: float,
    readings: int,
    format_name: str,
    verify: bool,
    oscore: bool,
    nb_iot: bool,
    max_wait_s: float,
    json_path: Path | None,
) -> None:
    """Open-loop load; afterwards every answered report must be in the database exactly once.

    Prints a table on stderr and one JSON object on stdout. Exit code 2: the reconciliation found a fault.
    """
    if verify and not target.database_url:
        raise click.UsageError("no database to reconcile with: give NBWATER_DATABASE_URL, or --no-verify")
    options = LoadOptions(
        reports_per_second, meters, duration_s, readings, ContentFormat[format_name.upper()], verify,
        NB_IOT if nb_iot else Timers(), max_wait_s, oscore,
    )  # fmt: skip
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("load", total=max(1, round(reports_per_second * duration_s)), state="")

        def progress(run: LoadRun) -> None:
            ended = run.answered + run.refused + run.unknown
            state = f"{run.answered} answered, {run.offered - ended} open, {run.refused + run.unknown} otherwise"
            bar.update(task, completed=ended, state=state)

        result = run(target, run_load(target, options, progress, lambda text: console.print(text, style="dim")))
    _show(result)
    text = json.dumps(result.as_dict(), indent=2)
    click.echo(text)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(text + "\n")
    if not result.ok:
        raise click.exceptions.Exit(NOT_RECONCILED)


@simulate.command()
@click.option("--url", required=True, envvar="NBWATER_SIMULATE_PUSH_URL",
              help="Of the product at the push door; has its secret: better NBWATER_SIMULATE_PUSH_URL.")  # fmt: skip
@click.option("--product", default="", help="Name of the product of that path: the meters are bound to it.")
@click.option("--ca", default="", help="PEM file of who signed the door's certificate.")
@click.option("--meters", type=click.IntRange(2, 100_000), default=100, show_default=True)
@click.option("--pushes-per-second", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True)
@click.option("--duration", "duration_s", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="s")
@click.option("--pause", "pause_s", type=click.FloatRange(0), default=PAUSE_S, show_default=True,
              help="s of cool-down when pushes fail.")  # fmt: skip
@click.pass_obj
def push(
    target: Target,
    url: str,
    product: str,
    ca: str,
    meters: int,
    pushes_per_second: float,
    duration_s: float,
    pause_s: float,
) -> None:
    """CTWing with a town of its own: registers meters and pushes for them, with its retries and its cool-down.

    Prints one JSON object of counts and latencies on stdout.
    """
    options = PushedTown(meters, pushes_per_second, duration_s, pause_s=pause_s, product=product)
    click.echo(json.dumps(run(target, run_pushed_town(target, Receiver(url, ca=ca), options)), indent=2))


@simulate.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format", "format_name", type=click.Choice([one.value for one in Recorded]), default="cbor", show_default=True
)
@click.option("--timezone", default="Asia/Shanghai", show_default=True,
              help="Of times without an offset; at its standard time, without summer time.")  # fmt: skip
@click.option("--check/--no-check", default=False, help="Recompute everything from the file and compare.")
@click.option("--max-wait", "max_wait_s", type=float, default=600.0, show_default=True, help="s for ingest to settle.")
@click.option("--summary", "summary_path", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the result and the serial of each meter_id here (JSON).")  # fmt: skip
@click.pass_obj
def replay(
    target: Target,
    file: Path,
    format_name: str,
    timezone: str,
    check: bool,
    max_wait_s: float,
    summary_path: Path | None,
) -> None:
    """Play recorded readings (meter_id,ts,index_l) as daily reports, registering the meters first.

    A time is written 2026-01-31 23:00 (in --timezone), or with its offset: 2026-01-31T23:00+08:00, 2026-01-31T15:00Z.
    Prints one JSON object on stdout. Exit code 2: the check found a difference.
    """
    if check and not target.database_url:
        raise click.UsageError("no database to check: give NBWATER_DATABASE_URL, or leave --check out")
    options = ReplayOptions(file, Recorded(format_name), timezone, check, max_wait_s)
    with console.status("replay") as status:
        result = run(target, run_replay(target, options, status.update))
    click.echo(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    if summary_path is not None:
        document = {**result.as_dict(), "serials": result.serials}
        summary_path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if not result.ok:
        raise click.exceptions.Exit(NOT_RECONCILED)


def _show(result: LoadResult) -> None:
    outcome = result.as_dict()
    table = Table(title="load", show_header=False)
    latency, lag, found = outcome["latency_ms"], outcome["own_lag_ms"], outcome["reconciliation"]
    table.add_row("offered", f"{outcome['offered']}  ({outcome['reports_per_second_offered']}/s)")
    table.add_row("answered", f"{outcome['answered']}  ({outcome['reports_per_second_answered']}/s)")
    table.add_row("refused / unknown", f"{outcome['refused']} / {outcome['unknown']}  {outcome['other_codes'] or ''}")
    table.add_row("latency p50 / p90 / p99 / p99.9", _milliseconds(latency, "p50", "p90", "p99", "p999"))
    table.add_row("own lag p50 / p99 / max", _milliseconds(lag, "p50", "p99", "max"))
    table.add_row("retransmissions", str(outcome["sender"]["retransmissions"]))
    if found is not None:
        verdict = "every answered report stored exactly once" if found["ok"] else "FAULT"
        table.add_row("reconciliation", f"{verdict} (waited {found['waited_s']} s)")
        for kind in ("stored", "lost", "doubled", "altered", "unsent"):
            table.add_row(f"  {kind}", f"{found[kind]}  {', '.join(found['examples'].get(kind, [])[:3])}")
    console.print(table)


def _milliseconds(summary: dict[str, float | None], *names: str) -> str:
    values = ["–" if summary[name] is None else f"{summary[name]:.1f}" for name in names]
    return " / ".join(values) + " ms"
