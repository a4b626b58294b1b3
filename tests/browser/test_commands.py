"""Commands in Chromium: filed on the meter's page, approved by somebody else on the page of all."""

from __future__ import annotations

import asyncpg
import pytest

from tests.browser.conftest import Site, Visitors
from tests.browser.town import FIRST_SERIAL

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_operator_files_on_the_meters_page(changing_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(changing_site)
    await visitor.log_in()
    await visitor.open(f"/meters/{FIRST_SERIAL}")
    await visitor.page.get_by_role("button", name="下发指令").click()
    await visitor.page.locator(".q-dialog").get_by_role("button", name="下发指令").click()
    await visitor.page.locator("details.nb-report", has_text="立即上报").wait_for()
    assert await visitor.page.get_by_role("button", name="复核通过").count() == 0  # an operator approves no closing
    connection = await asyncpg.connect(changing_site.database_url)
    row = await connection.fetchrow("SELECT kind, state, filed_by FROM commands ORDER BY filed_at DESC LIMIT 1")
    await connection.close()
    assert tuple(row) == (1, "queued", "test-operator")
    assert not visitor.faults


async def test_an_engineer_approves_what_another_filed(changing_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(changing_site)
    await visitor.log_in("administrator")
    await visitor.open("/commands?state=awaiting_approval")
    line = visitor.page.locator("details.nb-report")
    await line.locator("summary").click()
    await line.locator(".nb-life li").wait_for()
    await line.get_by_role("button", name="复核通过").click()
    await visitor.page.get_by_text("没有符合条件的指令。").wait_for()
    connection = await asyncpg.connect(changing_site.database_url)
    row = await connection.fetchrow("SELECT state, approved_by FROM commands WHERE command_id = 1")
    await connection.close()
    assert tuple(row) == ("queued", "test-administrator")
    assert not visitor.faults
