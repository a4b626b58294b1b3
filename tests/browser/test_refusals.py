"""What is refused on a page in Chinese is said in Chinese, page by page, in a real browser. Nothing is changed here."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Site, Visitor, Visitors
from tests.browser.town import FIRST_SERIAL, STRANGER, TAMPERED_SERIAL

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LATIN_WORD = re.compile("[A-Za-z]{3,}")
A_DEVICE = "861107031200005"


async def _opened(site: Site, visitors: Visitors, path: str) -> Visitor:
    visitor = await visitors.new(site)
    await visitor.log_in("engineer")
    await visitor.open(path)
    return visitor


async def _refused(visitor: Visitor, button: str, words: str, may_say: tuple[str, ...] = ()) -> None:
    """The dialog's button is refused with these words, and no English among them."""
    await visitor.page.locator(".q-dialog").get_by_role("button", name=button, exact=True).click()
    said = visitor.page.locator(".q-notification__message", has_text=words)
    await said.first.wait_for()
    assert not set(LATIN_WORD.findall(await said.first.inner_text())) - set(may_say)


async def _choose(visitor: Visitor, field: int, option: str) -> None:
    await visitor.page.locator(".q-dialog .q-select").nth(field).click()
    await visitor.page.locator(".q-menu .q-item", has_text=option).first.click()
    await visitor.page.locator(".q-menu").wait_for(state="detached")


async def test_readings_and_days_of_a_meter(site: Site, visitors: Visitors) -> None:
    """China's clocks went forward on 17 April 1988 and back on 11 September."""
    visitor = await _opened(site, visitors, f"/meters/{FIRST_SERIAL}")
    await visitor.page.get_by_role("button", name="修正读数").click()
    fields = visitor.page.locator(".q-dialog input")
    for typed, words in (
        ("1988-04-17 02:30:00", "当地没有 1988-04-17 02:30：时钟此时拨快，其后是 1988-04-17 03:30"),
        ("1988-09-11 01:30:00", "请写明时差：1988-09-11 01:30:00+09:00 或 1988-09-11 01:30:00+08:00"),
        ("1988-09-11 01:30:00+08:00", "请填写原因"),
    ):
        await fields.nth(0).fill(typed)
        await _refused(visitor, "修正读数", words)
    await visitor.page.locator(".q-dialog textarea").fill("现场抄表")
    await _refused(visitor, "修正读数", "时刻须为整秒，且在 2010 年至今之间")
    await fields.nth(1).fill("zwölf")
    await _refused(visitor, "修正读数", "请以数字填写升数")
    await visitor.page.locator(".q-dialog").get_by_role("button", name="取消").click()
    await visitor.page.locator(".q-dialog").wait_for(state="detached")
    await visitor.page.get_by_role("button", name="修改日水量").click()
    await fields.nth(0).fill("2199-01-01")
    await visitor.page.locator(".q-dialog textarea").fill("现场抄表")
    await _refused(visitor, "修改日水量", "该日尚未结束")
    assert not visitor.faults


async def test_commands(site: Site, visitors: Visitors) -> None:
    visitor = await _opened(site, visitors, f"/meters/{TAMPERED_SERIAL}")
    await visitor.page.get_by_role("button", name="下发指令").click()
    await _choose(visitor, 0, "补抄历史")
    await _refused(visitor, "下发指令", "“起（Unix 秒）”须为 1262304000 至 4102444800 的整数", ("Unix",))
    await _choose(visitor, 0, "原始报文")
    await _refused(visitor, "下发指令", "请填写原因")
    await visitor.page.locator(".q-dialog textarea").fill("用户欠费")
    await _refused(visitor, "下发指令", "“报文（十六进制）”须为 1 至 512 字节的十六进制数")
    await _choose(visitor, 0, "阀门")
    await _choose(visitor, 1, "关阀")
    await _refused(visitor, "下发指令", f"水表 {TAMPERED_SERIAL} 供重要用户用水，不能远程关阀")
    assert not visitor.faults


async def test_campaigns(site: Site, visitors: Visitors) -> None:
    visitor = await _opened(site, visitors, "/campaigns")
    await visitor.page.get_by_role("button", name="新建升级").click()
    await visitor.page.locator(".q-dialog input[type=number]").nth(0).fill("")
    await _refused(visitor, "新建升级", "停止规则须填写两个数字")
    await visitor.page.locator(".q-dialog input[type=number]").nth(0).fill("5")
    await _refused(visitor, "新建升级", "水表不知道从哪里下载固件", ("firmware", "uri", "base"))
    assert not visitor.faults


async def test_suppressions(site: Site, visitors: Visitors) -> None:
    visitor = await _opened(site, visitors, "/alerts/suppressions")
    await visitor.page.get_by_role("button", name="屏蔽告警").click()
    dialog = visitor.page.locator(".q-dialog")
    await _refused(visitor, "屏蔽告警", "请填写水表表号或选择分区，二者只选其一")
    await dialog.locator("input").nth(0).fill("404404")
    await dialog.locator("textarea").fill("管道施工")
    await dialog.locator("input[type=datetime-local]").nth(0).fill("1988-04-17T02:30")
    await _refused(visitor, "屏蔽告警", "当地没有 1988-04-17 02:30")
    await dialog.locator("input[type=datetime-local]").nth(0).fill("1988-09-11T01:30")
    await _refused(visitor, "屏蔽告警", "屏蔽最早可从 30 天前开始")
    begin = dialog.locator("input[type=datetime-local]").nth(0)
    await begin.fill("")
    await _refused(visitor, "屏蔽告警", "请填写时刻")
    await begin.fill(await dialog.locator("input[type=datetime-local]").nth(1).input_value())
    await _refused(visitor, "屏蔽告警", "结束时间须晚于开始时间和现在")
    assert not visitor.faults


async def test_unknown_devices(site: Site, visitors: Visitors) -> None:
    visitor = await _opened(site, visitors, "/unknown-devices")
    await visitor.page.locator("article", has_text=STRANGER).get_by_role("button", name="收录").click()
    await visitor.page.locator(".q-dialog input[type=text]").fill(A_DEVICE)
    await _refused(visitor, "收录", f"无法收录：{A_DEVICE} 是另一个设备的名称")
    assert not visitor.faults


async def test_login_and_password(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.page.goto(f"{site.base}/login?language=zh")
    await visitor.page.fill("input[name=login]", "nobody")
    await visitor.page.fill("input[name=password]", "wrong")
    await visitor.page.click("button[type=submit]")
    await visitor.page.get_by_text("用户名或密码不正确").wait_for()
    await visitor.log_in("viewer")
    await visitor.page.goto(f"{site.base}/password")
    await visitor.page.fill("input[name=current]", "wrong")
    await visitor.page.fill("input[name=password]", "short")
    await visitor.page.click("button[type=submit]")
    await visitor.page.get_by_text("新密码须为 10 至 256 个字符，且与当前密码不同").wait_for()
    assert not visitor.faults
