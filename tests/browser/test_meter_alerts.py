"""The alerts of one meter: on its page the open and the newest, in the list all of them."""

from __future__ import annotations

import asyncpg
import pytest

from tests.browser.conftest import Site, Visitors

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

METER_ID, SERIAL = 33, "21060100000033"
CLOSED = 29
MANY = """
INSERT INTO alerts (kind, severity, meter_id, service_point_id, state, started_at, raised_at, last_seen_at, ended_at,
        closed_at, rate_ml_h, evidence)
    SELECT CASE WHEN n = 0 THEN 'leak' ELSE 'continuous_flow' END, CASE WHEN n = 0 THEN 'info' ELSE 'critical' END, $1,
        $1, CASE WHEN n = 0 THEN 'open' ELSE 'resolved' END, t, t, t, CASE WHEN n > 0 THEN t END,
        CASE WHEN n > 0 THEN t END, 4000,
        '{"hours": 24, "measured_hours": 24, "threshold_ml_h": 1000, "minimum_ml_h": 4000, "volume_ml": 99000,
          "from": "2026-01-01T00:00:00+00:00", "to": "2026-01-02T00:00:00+00:00", "pattern": "steady", "level_l": 4,
          "over_hours": 1, "certainty_times": 1.7, "chance": 0.001, "usual_share": [], "hourly_ml": [4000, 5000, 4000],
          "hours_counted": 3}'
    FROM generate_series(0, $2::int) n, LATERAL (SELECT now() - (40 + 30 * n) * INTERVAL '1 hour' AS t) instant
"""


@pytest.mark.parametrize(
    ("language", "all_alerts", "details"), [("zh", "全部告警", "详情"), ("en", "All alerts of this meter", "Details")]
)
async def test_a_meter_with_many_alerts_shows_the_open_and_the_newest(
    changing_site: Site, visitors: Visitors, language: str, all_alerts: str, details: str
) -> None:
    connection = await asyncpg.connect(changing_site.database_url)
    await connection.execute("DELETE FROM alerts WHERE meter_id = $1", METER_ID)
    await connection.execute(MANY, METER_ID, CLOSED)
    await connection.close()
    visitor = await visitors.new(changing_site)
    await visitor.log_in("viewer", language)
    await visitor.open(f"/meters/{SERIAL}")
    shown = visitor.page.locator("article")
    await shown.nth(9).wait_for()
    assert await shown.count() == 10
    assert await shown.get_by_text(details, exact=True).count() == 9, "of those that are closed"
    assert not await shown.first.get_by_text(details, exact=True).count(), "the open one stands first, and unfolded"
    await visitor.shoot(f"meter-alerts-{language}")
    await visitor.page.get_by_text(all_alerts).click()
    await visitor.page.wait_for_url(f"**/alerts?serial={SERIAL}&state=all")
    await shown.nth(24).wait_for()
    assert await visitor.page.locator("article", has_text=SERIAL).count() == await shown.count() == 25
    assert not visitor.faults
