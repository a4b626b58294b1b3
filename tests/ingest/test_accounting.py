from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from ingest.accounting import local_day


@pytest.mark.parametrize(
    ("instant", "zone", "day"),
    [
        ("2026-01-01T15:59:59.999999", "Asia/Shanghai", date(2026, 1, 1)),
        ("2026-01-01T16:00:00", "Asia/Shanghai", date(2026, 1, 2)),
        ("2026-01-01T18:14:59", "Asia/Kathmandu", date(2026, 1, 1)),
        ("2026-01-01T18:15:00", "Asia/Kathmandu", date(2026, 1, 2)),
    ],
)
def test_the_local_day_of_an_instant(instant: str, zone: str, day: date) -> None:
    at_us = round(datetime.fromisoformat(instant).replace(tzinfo=UTC).timestamp() * 1_000_000)
    assert local_day(at_us, ZoneInfo(zone)) == day
