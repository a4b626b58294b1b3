"""The file of alerts that `nbwater leaks evaluate` writes, whichever detector raised them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple


class EvaluatedAlert(NamedTuple):
    """A row. Times are local ones without a zone, as those of the readings."""

    subject: str
    """Number of the meter, or name of the district."""
    kind: str
    """LEAK, BURST, REVERSE, STUCK, UNDER, NOREPORT or DMA_LEAK."""
    raised_at: datetime
    """When it could be known: the time of the last reading that it needed."""
    est_rate_lph: float | None
    """Litres an hour; None where the kind has none."""
    est_start: datetime | None


def write_alerts(path: Path, alerts: Iterable[EvaluatedAlert]) -> int:
    """Writes them in order of time; how many there are."""
    rows = sorted(alerts, key=lambda alert: (alert.raised_at, alert.subject, alert.kind))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(EvaluatedAlert._fields)
        for row in rows:
            rate = "" if row.est_rate_lph is None else f"{row.est_rate_lph:.3f}"
            writer.writerow([row.subject, row.kind, row.raised_at, rate, row.est_start or ""])
    return len(rows)
