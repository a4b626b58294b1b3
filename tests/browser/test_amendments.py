"""Amending a reading on the page of its meter, in a real browser."""

from __future__ import annotations

import asyncpg
import pytest

from tests.browser.conftest import Site, Visitors
from tests.browser.town import FIRST_SERIAL

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_engineer_gives_a_reading_and_takes_it_back(changing_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(changing_site)
    await visitor.log_in("engineer")
    await visitor.open(f"/meters/{FIRST_SERIAL}")
    await visitor.page.get_by_role("button", name="修正读数").click()
    dialog = visitor.page.locator(".q-dialog")
    await dialog.locator("input").nth(0).fill("gestern")
    await dialog.get_by_role("button", name="修正读数").click()
    await visitor.page.get_by_text("请填写时刻").wait_for()
    await dialog.locator("input").nth(0).fill("2026-01-01 00:00:00")
    await dialog.locator("input").nth(1).fill("1234.5")
    await dialog.locator("textarea").fill("现场抄表")
    await dialog.get_by_role("button", name="修正读数").click()
    await visitor.page.get_by_text("现场抄表").first.wait_for()
    assert "m³ m³" not in await visitor.text()
    await visitor.page.get_by_role("button", name="撤回修正").click()
    await dialog.locator("textarea").fill("抄错")
    await dialog.get_by_role("button", name="撤回修正").click()
    await visitor.page.get_by_text("已撤回").first.wait_for()
    connection = await asyncpg.connect(changing_site.database_url)
    row = await connection.fetchrow(
        "SELECT index_ml, reason, made_by, withdrawn_by, withdrawn_why FROM amendments WHERE source = 'person'"
    )
    spans = await connection.fetchval("SELECT count(*) FROM touched_spans")
    await connection.close()
    assert tuple(row) == (1_234_500, "现场抄表", "test-engineer", "test-engineer", "抄错")
    assert spans >= 2
    assert not visitor.faults


async def test_an_engineer_edits_a_day_and_takes_it_back(changing_site: Site, visitors: Visitors) -> None:
    connection = await asyncpg.connect(changing_site.database_url)
    day = await connection.fetchval("SELECT (max(day) - 2)::text FROM settled_days WHERE meter_id = 2")
    visitor = await visitors.new(changing_site)
    await visitor.log_in("engineer")
    await visitor.open("/meters/21060100000002")
    page, dialog = visitor.page, visitor.page.locator(".q-dialog")
    await page.get_by_role("button", name="修改日水量").click()
    await dialog.locator("input").nth(0).fill(day)
    await dialog.locator("input").nth(1).fill("120")
    await dialog.locator("textarea").fill("爆管，与用户商定")
    await visitor.shoot("day-edit-dialog-zh-1280")
    await dialog.get_by_role("button", name="修改日水量").click()
    await page.get_by_text("爆管，与用户商定").first.wait_for()
    await visitor.shoot("day-edit-zh-1280")
    await page.get_by_role("button", name="撤回修改").click()
    await dialog.locator("textarea").fill("弄错了日期")
    await dialog.get_by_role("button", name="撤回修改").click()
    await page.get_by_text("弄错了日期").first.wait_for()
    row = await connection.fetchrow("SELECT day::text, volume_ml, reason, made_by, withdrawn_why FROM day_edits")
    await connection.close()
    assert tuple(row) == (day, 120_000, "爆管，与用户商定", "test-engineer", "弄错了日期")
    assert not visitor.faults


async def test_an_operator_sees_amendments_and_no_buttons(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open(f"/meters/{FIRST_SERIAL}")
    assert "安装时的起始示数" in await visitor.text()
    assert await visitor.page.get_by_role("button", name="修正读数").count() == 0
