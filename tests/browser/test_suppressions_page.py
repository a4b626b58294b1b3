"""Suppressing alerts from an alert and ending that before its time, in a real browser."""

from __future__ import annotations

import asyncpg
import pytest

from tests.browser.conftest import Site, Visitors
from tests.browser.leaks import LEAK_SERIAL

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_operator_suppresses_and_ends_it_again(changing_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(changing_site)
    await visitor.log_in()
    await visitor.open("/alerts?kind=leak")
    alert = visitor.page.locator("article", has_text=LEAK_SERIAL)
    await alert.get_by_role("button", name="屏蔽告警…").click()
    dialog = visitor.page.locator(".q-dialog")
    await dialog.get_by_role("button", name="屏蔽告警").click()
    await visitor.page.get_by_text("未能记录：请写明原因").first.wait_for()
    await dialog.locator("textarea").fill("泳池注水，已与用户核实")
    await dialog.get_by_role("button", name="屏蔽告警").click()
    await visitor.page.get_by_text("已记录").first.wait_for()
    await visitor.open("/alerts/suppressions")
    window = visitor.page.locator("article", has_text="已与用户核实")
    assert "漏水" in await window.inner_text()
    await window.get_by_role("button", name="提前结束").click()
    await window.wait_for(state="detached")
    connection = await asyncpg.connect(changing_site.database_url)
    row = await connection.fetchrow(
        "SELECT kind, created_by, ended_by FROM alert_suppressions WHERE reason = '泳池注水，已与用户核实'"
    )
    actions = await connection.fetch("SELECT action FROM audit_log WHERE action LIKE 'alerts.%' ORDER BY at")
    await connection.close()
    assert tuple(row) == ("leak", "test-operator", "test-operator")
    assert [action["action"] for action in actions] == ["alerts.suppress", "alerts.end_suppression"]
    assert not visitor.faults


async def test_a_viewer_sees_the_windows_and_no_buttons(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in("viewer")
    await visitor.open("/alerts/suppressions")
    assert "滨海路主管更换" in await visitor.text()
    assert await visitor.page.get_by_role("button", name="提前结束").count() == 0
