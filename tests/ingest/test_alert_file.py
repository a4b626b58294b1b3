"""The file of alerts: columns, order, empty fields."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from ingest.alert_file import EvaluatedAlert, write_alerts


def test_rows_in_order_of_time(tmp_path: Path) -> None:
    at = datetime.fromisoformat
    alerts = [
        EvaluatedAlert("M2", "STUCK", at("2025-03-02"), None, None),
        EvaluatedAlert("M1", "LEAK", at("2025-03-01 12:00"), 5.126, at("2025-02-28")),
    ]
    assert write_alerts(tmp_path / "alerts.csv", alerts) == 2
    assert (tmp_path / "alerts.csv").read_text().splitlines() == [
        "subject,kind,raised_at,est_rate_lph,est_start",
        "M1,LEAK,2025-03-01 12:00:00,5.126,2025-02-28 00:00:00",
        "M2,STUCK,2025-03-02 00:00:00,,",
    ]
