"""What our own detector would have found in the town: an alert of each kind, and windows of suppression."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from metering.consumption import HOUR_S

LEAK_SERIAL = "21060100000014"
HABITS = [
    0.03, 0.02, 0.01, 0.01, 0.02, 0.12, 0.55, 0.81, 0.62, 0.33, 0.28, 0.41, 0.58, 0.38, 0.22, 0.2, 0.27, 0.52, 0.78,
    0.83, 0.74, 0.6, 0.34, 0.11,
]  # fmt: skip
LONGEST_H = 48
ZONE = ZoneInfo("Asia/Shanghai")


def _hours(now: datetime, base_ml: int, hours: int = LONGEST_H, pause: int = 0) -> list[int | None]:
    """A leak of this size over the home's own use, which is the habits'; one hour is unknown. `pause`: every so many
    hours it rests."""
    dice = random.Random(7)
    start = now - timedelta(hours=hours)
    flows: list[int | None] = []
    for at in range(hours):
        share = HABITS[(start + timedelta(hours=at)).astimezone(ZONE).hour]
        use = dice.randrange(5_000, 60_000) if dice.random() < share else 0
        leak = 0 if pause and at % pause else base_ml + dice.randrange(-base_ml // 8, base_ml // 8 + 1)
        flows.append((use + leak) // 1_000 * 1_000)
    flows[11] = None
    return flows


def _leak(now: datetime, pattern: str, level_l: int, hours: list[int | None], **more: Any) -> dict[str, Any]:
    return {
        "detector": "own", "version": 1, "pattern": pattern, "level_l": level_l, "over_hours": 1,
        "certainty_times": 1.7, "chance": 0.0003, "from": (now - timedelta(hours=len(hours))).isoformat(),
        "to": now.isoformat(), "hourly_ml": hours, "usual_share": HABITS, "night_minimum_before_ml_h": 0,
        "night_minimum_now_ml_h": level_l * 1_000, "hours_counted": len(hours) - 1,
        "clears_when": {"hours_without_ml_h_above": level_l * 1_000, "hours": 10},
    } | more  # fmt: skip


def _found(now: datetime) -> list[tuple[Any, ...]]:
    """meter, kind, severity, certainty, hours since it began, rate with interval in L/h, evidence."""
    day_ago, week_ago = (now - timedelta(days=days) for days in (1, 7))
    return [
        (14, "leak", "warning", "confirmed", 76, (18, 16, 21),
         _leak(now, "steady", 16, _hours(now, 18_000), night_minimum_before_ml_h=400,
               meter_alarms=["leak"])),
        (15, "leak", "info", "suspected", 60, (0.6, 0.5, 0.9),
         _leak(now, "drip", 1, [*_hours(now, 600)], over_hours=3, chance=4e-12, night_minimum_now_ml_h=None)),
        (17, "leak", "warning", "suspected", 40, (12, 9, 22), _leak(now, "cyclic", 16, _hours(now, 19_000, pause=2))),
        (18, "leak", "warning", "cleared", 90, (7, 6, 9), _leak(day_ago, "steady", 4, _hours(now, 7_000))),
        (19, "burst", "critical", "confirmed", 3, (1_420, 1_150, 1_900), {
            "detector": "own", "peak_ml_h": 1_420_000, "own_maximum_ml_h": 310_000, "from":
            (now - timedelta(hours=3)).isoformat(), "to": now.isoformat(),
            "hourly_ml": [*_hours(now, 0, 21), 900_000, 1_380_000, 1_420_000],
        }),
        (21, "stuck", "warning", "suspected", 290, None,
         {"still_h": 290, "longest_before_h": 61, "last_index_ml": 183_427_000, "past_days": 56, "away_times": 1,
          "limit_h": 235}),
        (22, "under_registering", "warning", "suspected", 336, None,
         {"rule": "all_sizes", "limit_share": 0.75, "quantiles": [0.5, 0.75, 1], "usual_flow_h": 9.0, "now_flow_h": 8.5,
          "usual_sizes_ml_h": [12_000, 31_000, 96_000], "now_sizes_ml_h": [5_000, 14_000, 41_000],
          "usual_peak_ml_h": 96_000, "now_peak_ml_h": 41_000, "share": 0.43, "days": 14}),
        (23, "reverse_flow", "warning", "confirmed", 12, None,
         {"volume_ml": -23_000, "from": week_ago.isoformat(), "to": now.isoformat()}),
    ]  # fmt: skip


async def seed_leaks(connection: asyncpg.Connection) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for meter_id, kind, severity, certainty, hours, rates, evidence in _found(now):
        rate, low, high = [None if rates is None else int(rates[at] * 1_000) for at in range(3)]
        began = now - timedelta(hours=hours)
        lost = None if rate is None else rate * int((now - began).total_seconds()) // HOUR_S
        await connection.execute(
            "INSERT INTO alerts (kind, severity, meter_id, service_point_id, certainty, started_at, raised_at,"
            " last_seen_at, ended_at, rate_ml_h, rate_low_ml_h, rate_high_ml_h, loss_ml, evidence)"
            " VALUES ($1, $2, $3, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11, $12::jsonb)",
            kind, severity, meter_id, certainty, began, now - timedelta(hours=2),
            now - timedelta(hours=1) if certainty == "cleared" else None, rate, low, high, lost, json.dumps(evidence),
        )  # fmt: skip
    await connection.execute(
        "INSERT INTO alert_events (alert_id, at, to_state, actor) SELECT a.alert_id, a.raised_at + n * INTERVAL '1 h',"
        " c.to_state, 'platform' FROM alerts a, (VALUES (0, 'suspected'), (1, 'confirmed')) AS c (n, to_state)"
        " WHERE a.kind = 'leak' AND a.meter_id = 14"
    )
    await connection.execute(
        "INSERT INTO alert_suppressions (meter_id, zone_id, kind, valid_from, valid_to, reason, created_by) VALUES"
        " (NULL, (SELECT zone_id FROM zones WHERE code = 'LG-01'), 'district_leak', now() - INTERVAL '2 hours',"
        " now() + INTERVAL '8 hours', '滨海路主管更换', 'wang'),"
        " (30, NULL, NULL, now() + INTERVAL '1 day', now() + INTERVAL '2 days', '注满泳池', 'li')"
    )
