"""Campaigns in Chromium: an engineer stops one and says why; an operator only looks."""

from __future__ import annotations

import asyncpg
import pytest

from tests.browser.conftest import Site, Visitors

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_operator_only_looks(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open("/campaigns")
    line = visitor.page.locator("details.nb-report")
    await line.locator("summary").click()
    await line.get_by_text("下载地址").wait_for()
    assert await visitor.page.get_by_role("button", name="停止升级").count() == 0
    assert await visitor.page.get_by_role("button", name="新建升级").count() == 0
    assert not visitor.faults


async def test_an_engineer_stops_with_a_reason(changing_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(changing_site)
    await visitor.log_in("administrator")
    await visitor.open("/campaigns")
    line = visitor.page.locator("details.nb-report")
    await line.locator("summary").click()
    await visitor.page.get_by_role("button", name="新建升级").click()
    await visitor.page.locator(".q-dialog").get_by_role("button", name="取消").click()
    await visitor.page.locator(".q-dialog").wait_for(state="hidden")
    await line.get_by_role("button", name="停止升级").click()
    dialog = visitor.page.locator(".q-dialog")
    await dialog.locator("textarea").fill("型号不对")
    await dialog.get_by_role("button", name="停止升级").click()
    await visitor.page.get_by_text("已停止").wait_for()
    connection = await asyncpg.connect(changing_site.database_url)
    row = await connection.fetchrow("SELECT state, why FROM campaigns")
    await connection.close()
    assert tuple(row) == ("stopped", "型号不对")
    assert not visitor.faults
