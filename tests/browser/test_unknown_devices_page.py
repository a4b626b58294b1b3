"""The page of unknown devices, in a real browser."""

from __future__ import annotations

import asyncpg
import pytest

from tests.browser.conftest import Site, Visitors
from tests.browser.town import HOSTILE_TEXT, STRANGE_SERIAL, STRANGER

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_engineer_takes_in_one_stranger_and_dismisses_another(changing_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(changing_site)
    await visitor.log_in("engineer")
    await visitor.open("/unknown-devices")
    assert HOSTILE_TEXT in await visitor.text()
    assert await visitor.page.locator("img[src=x]").count() == 0
    hostile = visitor.page.locator("article", has_text=HOSTILE_TEXT)
    await hostile.get_by_role("button", name="忽略").click()
    await hostile.wait_for(state="detached")
    known = visitor.page.locator("article", has_text=STRANGER)
    await known.get_by_role("button", name="收录").click()
    dialog = visitor.page.locator(".q-dialog")
    await dialog.get_by_role("button", name="收录").click()
    await dialog.get_by_text("表号为 1 至 32 位").wait_for()
    await dialog.locator("input[type=text]").fill("21060100008888")
    await dialog.locator(".q-checkbox").click()
    await dialog.get_by_role("button", name="收录").click()
    await known.wait_for(state="detached")
    await visitor.open("/meters/21060100008888")
    assert STRANGER in await visitor.text()
    connection = await asyncpg.connect(changing_site.database_url)
    device = await connection.fetchrow(
        "SELECT imei, plain_sources::text AS sources FROM devices WHERE device = $1", STRANGER
    )
    actions = await connection.fetch("SELECT actor, action FROM audit_log WHERE action LIKE 'stranger.%' ORDER BY at")
    await connection.close()
    assert tuple(device) == (STRANGER, "{10.9.8.7/32}")
    assert [tuple(row) for row in actions] == [
        ("test-engineer", "stranger.dismiss"), ("test-engineer", "stranger.approve"),
    ]  # fmt: skip
    assert not visitor.faults


async def test_an_operator_sees_strangers_and_no_buttons(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open("/unknown-devices")
    assert STRANGE_SERIAL in await visitor.text()
    assert await visitor.page.get_by_role("button", name="收录").count() == 0
