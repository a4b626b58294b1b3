"""Which districts are watched by their balance, which by the night's inflow, and in local hours."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ingest.districts.watching import findings, past_of
from metering.consumption import HOUR_S
from metering.district_settings import DistrictSettings

ZONE = ZoneInfo("Asia/Shanghai")
FIRST_S = int(datetime(2026, 1, 5, tzinfo=ZONE).timestamp())
HOURS, BURST_AT = 45 * 24, 38 * 24 + 5


def rows(zone_id, share, burst=15_000.0, seed=1):
    rng = np.random.default_rng(seed)
    customers = 60_000 + 40_000 * np.sin(2 * np.pi * (np.arange(HOURS) - 9) / 24) + rng.normal(0, 3_000, HOURS)
    lost = 8_000 + rng.normal(0, 400, HOURS)
    lost[BURST_AT:] += burst
    return [
        {"zone_id": zone_id, "hour_s": FIRST_S + HOUR_S * at, "inflow": customers[at] + lost[at],
         "customers": customers[at], "sigma": 500.0, "share": share}
        for at in range(HOURS)
    ]  # fmt: skip


def found(*of, settings=None):
    past = past_of([row for each in of for row in each], FIRST_S, FIRST_S + HOURS * HOUR_S, ZONE)
    return findings(past, settings or DistrictSettings())


def test_a_measured_district_is_watched_by_its_balance():
    (finding,) = found(rows(7, 1.0), rows(8, 1.0, burst=0.0, seed=2))
    assert (finding.zone_id, finding.evidence["rule"]) == (7, "balance")
    assert abs(finding.started_at_s - (FIRST_S + BURST_AT * HOUR_S)) <= 2 * HOUR_S
    assert finding.rate_ml_h == pytest.approx(15_000, rel=0.2)


def test_a_district_of_which_few_customers_are_known_is_watched_at_night():
    (finding,) = found(rows(7, 0.5, burst=25_000.0))
    assert finding.evidence["rule"] == "night"
    assert found(rows(7, 0.5, burst=0.0)) == []


def test_settings_move_the_line():
    assert found(rows(7, 1.0), settings=DistrictSettings(balance_least_share=0.5)) == []
    (finding,) = found(rows(7, 0.6), settings=DistrictSettings(measured_share=0.5))
    assert finding.evidence["rule"] == "balance"


def test_hours_are_local_ones():
    past = past_of(rows(7, 1.0), FIRST_S, FIRST_S + HOURS * HOUR_S, ZONE)
    assert past.hour_of_day[:25].tolist() == [*range(24), 0]
    assert found() == []
