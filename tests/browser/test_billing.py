"""Opening, previewing, closing and exporting a billing period on its page, in a real browser."""

from __future__ import annotations

import asyncpg
import pytest
from playwright.async_api import Locator, Page

from tests.browser.conftest import PHONE, WIDE, Site, Visitors

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def a_week_with_an_estimate(connection: asyncpg.Connection) -> tuple[str, str]:
    """First and last of seven settled days, on the first of which meter 5 was estimated."""
    first, last = await connection.fetchrow(
        "SELECT (max(day) - 9)::text, (max(day) - 3)::text FROM settled_days WHERE complete"
    )
    await connection.execute(
        "UPDATE settled_days SET quality = 'estimated', reasons = '{gap,profile}' "
        "WHERE meter_id = 5 AND day = $1::text::date",
        first,
    )
    return first, last


async def take_back_another(page: Page, dialog: Locator, day: str) -> None:
    """Days that are billed are refused in Chinese; a period that was opened by mistake goes."""
    await page.get_by_role("button", name="新建账期").click()
    for at, text in enumerate(("误开", day, day)):
        await dialog.locator("input").nth(at).fill(text)
    await dialog.get_by_role("button", name="新建账期").click()
    await page.get_by_text("其中有些日期已属于另一账期").wait_for()
    for at in (1, 2):
        await dialog.locator("input").nth(at).fill("2020-01-01")
    await dialog.get_by_role("button", name="新建账期").click()
    await page.get_by_role("button", name="撤销账期").click()
    await dialog.locator("textarea").fill("日期有误")
    await dialog.get_by_role("button", name="撤销账期").click()
    await page.get_by_text("误开", exact=True).wait_for(state="detached")


async def test_an_engineer_opens_looks_and_closes(changing_site: Site, visitors: Visitors) -> None:
    connection = await asyncpg.connect(changing_site.database_url)
    first, last = await a_week_with_an_estimate(connection)
    visitor = await visitors.new(changing_site)
    await visitor.log_in("engineer")
    await visitor.open("/billing")
    page = visitor.page
    dialog = page.locator(".q-dialog--modal").last
    await page.get_by_role("button", name="新建账期").click()
    await dialog.locator("input").nth(0).fill("三月")
    await dialog.locator("input").nth(1).fill("gestern")
    await dialog.get_by_role("button", name="新建账期").click()
    await page.get_by_text("请填写日期").wait_for()
    await dialog.locator("input").nth(1).fill(first)
    await dialog.locator("input").nth(2).fill(last)
    await dialog.get_by_role("button", name="新建账期").click()
    await page.get_by_text("开放", exact=True).wait_for()
    await page.get_by_role("button", name="关账预览").click()
    await dialog.get_by_text("需要核查的水表").wait_for()
    assert "21060100000005" in await dialog.inner_text()
    for size in (WIDE, PHONE):
        await page.set_viewport_size(size)
        await visitor.shoot(f"billing-preview-zh-{size['width']}")
    await page.set_viewport_size(WIDE)
    await dialog.get_by_role("button", name="关闭窗口").click()
    await page.get_by_role("button", name="关账", exact=True).click()
    await dialog.locator("textarea").fill("三月抄表完成")
    await dialog.get_by_role("button", name="关账", exact=True).click()
    await page.get_by_text("原样输入账期名称").wait_for()
    await visitor.shoot("billing-close-zh-1280")
    await dialog.locator("input").fill("三月")
    await dialog.get_by_role("button", name="关账", exact=True).click()
    await page.get_by_text("已关账", exact=True).wait_for()
    await visitor.shoot("billing-closed-zh-1280")
    await page.get_by_role("button", name="更正台账").click()
    await dialog.get_by_text("没有更正。").first.wait_for()
    await dialog.get_by_role("button", name="关闭窗口").click()
    await take_back_another(page, dialog, last)
    async with page.expect_download() as download:
        await page.get_by_text("导出 Parquet").click()
    assert (await download.value).suggested_filename.endswith(".parquet")
    row = await connection.fetchrow(
        "SELECT p.state, p.closed_by, a.detail::jsonb->>'reason' FROM billing_periods p, audit_log a "
        "WHERE a.action = 'close_billing_period'"
    )
    await connection.close()
    assert tuple(row) == ("closed", "test-engineer", "三月抄表完成")
    assert not visitor.faults


async def test_an_operator_finds_no_buttons_that_decide(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in(language="en")
    await visitor.open("/billing")
    assert "takes an engineer" in await visitor.text()
    assert await visitor.page.get_by_role("button", name="Open a period").count() == 0
