"""`nbwater leaks`."""

from __future__ import annotations

from pathlib import Path

import click

from ingest.alert_file import EvaluatedAlert, write_alerts
from ingest.districts.detection import balance_rules, inflow_rules
from ingest.districts.evaluation import Indices, customers_limits, from_inflows, from_readings
from ingest.districts.files import read_inflows, read_inlet
from ingest.leaks.evaluation import NO_SIZES, evaluated, read_readings, read_sizes
from metering.errors import RequestError
from metering.settings import DistrictSettings, LeakSettings, load

_INPUT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def leaks() -> None:
    """Leak detection."""


@leaks.command()
@click.option("--readings", type=_INPUT, help="CSV with meter_id,ts,index_l; ts is local time.")
@click.option("--sizes", type=_INPUT, help="CSV with meter_id,q3_m3_h; of meters not named Q3 is 2.5 m³/h.")
@click.option("--inlet", type=_INPUT, help="CSV with ts,inlet_index_m3: the one inlet of all meters of --readings.")
@click.option("--district", default="DMA-V1", show_default=True, help="What the district of --inlet is called.")
@click.option("--inflow", type=_INPUT, help="CSV with ts and a column for each district: hourly net inflow, L/s.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="CSV to write alerts to.")
def evaluate(
    readings: Path | None, sizes: Path | None, inlet: Path | None, district: str, inflow: Path | None, out: Path
) -> None:  # fmt: skip
    """Run the detectors on files as their readings would have come, and write what would have been raised.

    At each instant only what had arrived counts. Nothing of a running platform is read or changed; parameters are
    those of the tables [leaks] and [districts].
    """
    if readings is None and inflow is None:
        raise click.UsageError("give --readings, --inflow or both")
    if sizes is not None and readings is None:
        raise click.UsageError("--sizes are those of --readings")
    if inlet is not None and readings is None:
        raise click.UsageError("--inlet needs the customers' --readings")
    if not out.resolve().parent.is_dir():
        raise click.UsageError(f"there is no folder {out.resolve().parent} to write --out to")
    alerts: list[EvaluatedAlert] = []
    try:
        if readings is not None:
            customers = read_readings(readings)
            q3_l_h = read_sizes(sizes) if sizes else NO_SIZES
            alerts += evaluated(customers, load(LeakSettings), q3_l_h)
            if inlet is not None:
                of = Indices(*customers[1:], customers_limits(customers.names, q3_l_h))
                alerts += from_readings(district, of, read_inlet(inlet), balance_rules(load(DistrictSettings)))
        if inflow is not None:
            alerts += from_inflows(read_inflows(inflow), inflow_rules(load(DistrictSettings)))
    except RequestError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{write_alerts(out, alerts):,} alerts written to {out}", err=True)
