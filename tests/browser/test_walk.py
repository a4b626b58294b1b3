"""What operators met when they used the pages as they come: districts' alerts, double clicks, small screens, input."""

from __future__ import annotations

import asyncpg
import pytest

from tests.browser.conftest import PHONE, Site, Visitors

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SMALL = {"width": 1024, "height": 768}
ZONE = "LG-01"
HANDED_ID, HANDED_SERIAL = 27, "21060100000027"
HANDED = """
WITH closed AS (
    INSERT INTO alerts (kind, severity, meter_id, service_point_id, state, started_at, raised_at, last_seen_at,
            ended_at, closed_at, rate_ml_h, evidence)
        SELECT 'continuous_flow', 'warning', $1, $1, 'resolved', t - INTERVAL '30 hours', t - INTERVAL '6 hours', t, t,
            t, 4000, '{"hours": 24, "measured_hours": 24, "threshold_ml_h": 1000, "minimum_ml_h": 4000,
                "volume_ml": 99000, "from": "2026-01-01T00:00:00+00:00", "to": "2026-01-02T00:00:00+00:00"}'
        FROM (SELECT now() - INTERVAL '1 hour' AS t) hour_ago
        RETURNING alert_id, ended_at
)
INSERT INTO alert_events (alert_id, at, from_state, to_state, actor, reason)
    SELECT alert_id, ended_at, 'open', 'resolved', 'platform', 'leak' FROM closed
"""

INLET = """
WITH inlets AS (
    INSERT INTO meters (serial, maker, model, dn_mm, q3_l_h)
        VALUES ('INLET-1', '宁波水表', 'WPD-200', 200, 400000), ('INLET-2', '宁波水表', 'WPD-200', 200, 400000)
        RETURNING meter_id, serial)
INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from)
    SELECT zone_id, meter_id, 'in',
        CASE serial WHEN 'INLET-1' THEN '2026-01-01T00:00+08' ELSE '-infinity' END::timestamptz
    FROM inlets, zones WHERE code = $1
"""


@pytest.mark.parametrize("path", ["/", "/alerts?kind=district_leak"])
async def test_the_alert_of_a_district_says_of_which_and_leads_there(
    site: Site, visitors: Visitors, path: str
) -> None:  # fmt: skip
    visitor = await visitors.new(site)
    await visitor.log_in("viewer")
    await visitor.open(path)
    link = visitor.page.locator(".nb-alert", has_text="分区管网漏损突增").locator(f"a[href='/districts?zone={ZONE}']")
    assert ZONE in await link.first.inner_text()
    await link.first.click()
    await visitor.page.get_by_text("本区水表", exact=True).click()
    await visitor.page.wait_for_url(f"**/meters?zone={ZONE}")
    assert not visitor.faults


async def test_zones_lead_to_their_balance(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in("viewer")
    for size in (SMALL, PHONE):
        await visitor.page.set_viewport_size(size)
        await visitor.open("/districts")
        await visitor.page.locator(f".nb-facts a[href='/districts?zone={ZONE}']").click()
        await visitor.page.wait_for_url(f"**/districts?zone={ZONE}")
    assert not visitor.faults


async def test_a_district_tells_its_inlets_and_leads_to_its_silent_meters(
    changing_site: Site, visitors: Visitors
) -> None:
    connection = await asyncpg.connect(changing_site.database_url)
    await connection.execute(INLET, ZONE)
    await connection.close()
    visitor = await visitors.new(changing_site)
    await visitor.log_in("viewer")
    await visitor.open(f"/districts?zone={ZONE}")
    for serial, since in (("INLET-1", "2026-01-01"), ("INLET-2", "–")):
        row = visitor.page.locator("tr", has_text=serial)
        await row.wait_for()
        assert [cell.strip() for cell in await row.locator("td").all_inner_texts()] == [serial, "进水", "–", since]
        assert await row.locator("a").get_attribute("href") == f"/meters/{serial}"
    await visitor.page.get_by_text("本区失联水表", exact=True).click()
    await visitor.page.wait_for_url(f"**/meters?zone={ZONE}&state=silent")
    assert not visitor.faults


async def test_an_alert_that_was_handed_on_is_not_said_to_be_over(changing_site: Site, visitors: Visitors) -> None:
    connection = await asyncpg.connect(changing_site.database_url)
    await connection.execute("DELETE FROM alerts WHERE meter_id = $1", HANDED_ID)
    await connection.execute(HANDED, HANDED_ID)
    await connection.close()
    visitor = await visitors.new(changing_site)
    await visitor.log_in("viewer")
    await visitor.open(f"/alerts?state=resolved&serial={HANDED_SERIAL}")
    alert = visitor.page.locator("article", has_text=HANDED_SERIAL)
    await alert.get_by_text("详情", exact=True).click()
    await alert.locator(".nb-alert-words", has_text="由漏水告警接续").wait_for()
    words = await alert.inner_text()
    assert not [said for said in ("迹象已消失", "可能已修好", "消失") if said in words], words
    assert not visitor.faults


async def test_who_clicks_twice_is_asked_once(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open("/alerts")
    await visitor.page.get_by_role("button", name="判为误报").first.dblclick()
    dialog = visitor.page.locator(".q-dialog textarea")
    await dialog.first.wait_for()
    await dialog.first.fill("x")  # by now a second one would be there too
    assert await dialog.count() == 1
    assert not visitor.faults


@pytest.mark.parametrize("size", [SMALL, PHONE], ids=["1024", "390"])
async def test_no_figure_is_cut_off_or_out_of_sight(
    site: Site, visitors: Visitors, size: dict[str, int]
) -> None:  # fmt: skip
    visitor = await visitors.new(site)
    await visitor.log_in("viewer")
    await visitor.page.set_viewport_size(size)
    for path in ("/meters/21060100000005", "/meters", "/completeness"):
        await visitor.open(path)
        await visitor.page.locator(".nb-figure-value, .nb-table").first.wait_for()
        cut = await visitor.page.evaluate(
            "() => [...document.querySelectorAll('.nb-figure-value, .q-table, .nb-item dd')].filter(element =>"
            " element.scrollWidth > element.clientWidth + 1 || element.getBoundingClientRect().right > innerWidth + 1)"
            ".map(element => element.innerText.slice(0, 60))"
        )
        assert cut == [], path
    broken = await visitor.page.evaluate(
        "() => [...document.querySelectorAll('.nb-item dd')].filter(element => element.clientHeight > 30).length"
    )
    assert broken == 0, "a figure runs over two lines"


@pytest.mark.parametrize("typed", ["２１０６０１０００００００５", "2106 00000005"])
async def test_meters_are_found_by_what_people_type(site: Site, visitors: Visitors, typed: str) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in("viewer")
    await visitor.open("/meters")
    await visitor.page.fill("input[aria-label='搜索表号、IMEI 或地址']", typed)
    await visitor.page.get_by_text("本页 1 只").wait_for()
    assert await visitor.page.get_by_text("21060100000005").count()


async def test_the_login_takes_no_more_than_it_can_check(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.page.goto(site.base + "/login")
    for name in ("login", "password"):
        await visitor.page.fill(f"input[name={name}]", "9" * 5_000)
        await visitor.page.locator(f"input[name={name}]").press("End")
    await visitor.page.get_by_role("button", name="登录").click()
    await visitor.page.get_by_text("用户名或密码不正确。").wait_for()
