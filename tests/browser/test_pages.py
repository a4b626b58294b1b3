"""The pages in Chromium: both languages, both widths, nothing untranslated, nothing from elsewhere, no errors."""

from __future__ import annotations

import re

import asyncpg
import pytest

from api.pages.texts import TEXTS
from tests.browser.conftest import PHONE, WIDE, Site, Visitor, Visitors
from tests.browser.town import (
    DEAD_PAYLOAD,
    FIRST_SERIAL,
    GAP_SERIAL,
    HOSTILE_TEXT,
    LEAKING_SERIAL,
    TAMPERED_SERIAL,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGES = {
    "overview": ("/", ("frame.overview", "overview.reporting", "overview.accounting_ok", "alerts.kind.burst")),
    "meters": ("/meters", ("frame.meters", "meters.state.reporting", "meters.state.silent")),
    "meter": (
        f"/meters/{FIRST_SERIAL}",
        ("meter.installation", "meter.pressure_chart", "meter.rsrp", "outcome.stored", "meter.csv"),
    ),
    "leak": (f"/meters/{LEAKING_SERIAL}", ("alerts.kind.continuous_flow", "alerts.acknowledge")),
    "districts": ("/districts", ("frame.districts", "districts.hourly", "districts.iwa", "alerts.kind.district_leak")),
    "alerts": ("/alerts", ("frame.alerts", "alerts.severity.critical", "alerts.acknowledge", "alerts.kind.stuck")),
    "leaks": ("/alerts?kind=leak", ("alerts.certainty.confirmed", "alerts.kind.leak", "alerts.suppress")),
    "suppressions": ("/alerts/suppressions", ("suppressions.title", "suppressions.state.planned", "suppressions.end")),
    "commands": (
        "/commands",
        ("frame.commands", "commands.state.awaiting_approval", "commands.state.not_recalled", "commands.valve.close"),
    ),
    "campaigns": ("/campaigns", ("frame.campaigns", "campaigns.state.running")),
    "dead_letters": ("/dead-letters", ("reason.checksum", "reason.unknown_device")),
    "unknown_devices": ("/unknown-devices", ("frame.unknown_devices", "reason.unknown_device")),
    "completeness": (
        "/completeness",
        ("frame.completeness", "completeness.rate", "completeness.all", "completeness.unread"),
    ),
    "billing": ("/billing", ("frame.billing", "billing.empty")),
    "path": ("/path", ("path.stage.gateway", "path.reason.no_nats", "path.stage.settlement", "overview.accounting_ok")),
}
FITS = "width => innerWidth === width && document.documentElement.scrollWidth <= width"
KEY = re.compile(r"\b[a-z_]+(?:\.[a-z_0-9]+)+\b")
SAID = """() => { const said = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
const others = 'script, style, .q-icon, .nb-hex, .nb-break, [lang]:not(html)'
while (texts.nextNode()) if (!texts.currentNode.parentElement.closest(others)) said.push(texts.currentNode.textContent)
for (const name of ['aria-label', 'title', 'placeholder'])
  for (const element of document.querySelectorAll(`[${name}]:not([lang])`)) said.push(element.getAttribute(name))
return said }"""
"""All words of a page, folded ones and names of controls included, without icons, bytes and the other language."""
LATIN_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{2,}")
NAMES = {
    "CBOR", "CTWing", "CoAP", "DTLS", "HTTP", "IMEI", "IoTDA", "LwM2M", "MQTT", "NATS", "OSCORE", "WebSocket",
    "CARL", "CSV", "DN", "ECL", "ILI", "RSRP", "SNR", "UARL", "dBm", "kPa", "KiB", "MiB",
    "nbwater", "nbwater-cbor", "dead-letters", "replay", "completeness", "checksum", "unknown_device",
}  # fmt: skip
"""What Chinese pages say in Latin letters: protocols, figures, units, what is typed on a command line, and reasons as
REST and metrics name them."""
OF_THE_TOWN = {
    "LG-",
    "LXSZ-NB",
    "test-operator",
    "test-engineer",
    "wang",
    "li",
    "zhao",
    "east",
    "west",
    "first-psk",
    "note",
    "iotda",
    "coaps",
}
CHINESE = re.compile(r"[\u4e00-\u9fff]+")
OURS = {run for text in TEXTS.values() for run in CHINESE.findall(text.zh) if len(run) > 1}
"""Chinese that we say, as against names and addresses."""


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_every_page_in_both_languages_and_widths(site: Site, visitors: Visitors, language: str) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in(language=language)
    for name, (path, keys) in PAGES.items():
        await visitor.open(path)
        await _check_words(visitor, name, keys, language)
        for size in (WIDE, PHONE):
            await visitor.page.set_viewport_size(size)
            await visitor.page.wait_for_function(FITS, arg=size["width"])
            await visitor.shoot(f"{name}-{language}-{size['width']}")
        await visitor.page.set_viewport_size(WIDE)
    assert not visitor.faults


async def _check_words(visitor: Visitor, name: str, keys: tuple[str, ...], language: str) -> None:
    """What must be said is said, in the one language; every control has a name."""
    text = await visitor.text()
    for key in keys:
        assert getattr(TEXTS[key], language) in text, (name, key)
    assert not [found for found in KEY.findall(text) if found in TEXTS], name
    html_lang = await visitor.page.get_attribute("html", "lang")
    assert html_lang == ("zh-CN" if language == "zh" else "en-US")
    if language == "zh":
        said = " ".join(await visitor.page.evaluate(SAID)).replace(HOSTILE_TEXT, "")
        assert not set(LATIN_WORD.findall(said)) - NAMES - OF_THE_TOWN, name
    if language == "en":  # names and addresses are the utility's own and stay as they are
        assert {run for run in CHINESE.findall(text) if run in OURS} <= {"中文"}, name
    unnamed = await visitor.page.evaluate(
        "[...document.querySelectorAll('button, a')].filter(e => !e.textContent.trim().replace(/^[a-z_]+$/, '')"
        " && !e.getAttribute('aria-label')).map(e => e.outerHTML.slice(0, 120))"
    )
    assert not unnamed, unnamed


async def test_language_switches_in_place_and_is_remembered(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in(language="zh")
    await visitor.open("/meters?state=silent")
    await visitor.page.click("a.nb-language")
    await visitor.page.wait_for_selector("html[lang=en-US] h1")
    assert visitor.page.url == f"{site.base}/meters?state=silent"
    assert await visitor.page.inner_text("h1") == "Meters"
    await visitor.open("/alerts")
    assert await visitor.page.inner_text("h1") == "Alerts"
    assert await visitor.page.title() == "Alerts · Huludao Water"


async def test_what_a_device_says_is_shown_as_text(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open(f"/meters/{FIRST_SERIAL}")
    assert HOSTILE_TEXT in await visitor.text()
    await visitor.page.click("details.nb-report summary")
    await visitor.page.wait_for_selector("details[open] .nb-hex")
    body = await visitor.page.inner_text("details[open]")
    assert "ac 00 01 01" in body
    assert "<img src=x" in body
    assert await visitor.page.locator("img[src=x]").count() == 0
    await visitor.open("/dead-letters")
    await visitor.page.click("details.nb-report summary")
    await visitor.page.wait_for_selector("details[open] .nb-hex")
    assert DEAD_PAYLOAD[:2] in await visitor.page.inner_text("details[open] .nb-hex")
    assert await visitor.page.locator("img[src=x]").count() == 0
    assert not visitor.faults


async def test_an_operator_acknowledges_and_dismisses_with_a_reason(changing_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(changing_site)
    await visitor.log_in()
    await visitor.open("/alerts")
    alert = visitor.page.locator("article", has_text=TAMPERED_SERIAL)
    await alert.get_by_text("详情", exact=True).click()
    await alert.get_by_role("button", name="确认接手").click()
    await visitor.page.fill(".q-dialog textarea", "已派工")
    await visitor.page.locator(".q-dialog").get_by_role("button", name="确认接手").click()
    await alert.get_by_text("处理中", exact=True).wait_for()
    await alert.locator(".nb-life li").wait_for()  # drawn again, and open as it was
    life = await alert.locator(".nb-life li").inner_text()
    assert all(part in life for part in ("test-operator", "待处理 → 处理中", "已派工"))
    await alert.get_by_role("button", name="判为误报").click()
    await visitor.page.locator(".q-dialog").get_by_role("button", name="判为误报").click()
    await visitor.page.get_by_text("请写明原因").wait_for()
    await visitor.page.fill(".q-dialog textarea", "现场核实为施工干扰")
    await visitor.page.locator(".q-dialog").get_by_role("button", name="判为误报").click()
    await alert.wait_for(state="detached")
    connection = await asyncpg.connect(changing_site.database_url)
    events = await connection.fetch(
        "SELECT to_state, actor, reason FROM alert_events WHERE actor <> 'platform' ORDER BY at"
    )
    await connection.close()
    assert [tuple(event) for event in events] == [
        ("acknowledged", "test-operator", "已派工"),
        ("dismissed", "test-operator", "现场核实为施工干扰"),
    ]
    assert not visitor.faults


async def test_a_viewer_sees_alerts_and_no_buttons(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in("viewer")
    await visitor.open("/alerts")
    assert "您的角色只能查看告警" in await visitor.text()
    assert await visitor.page.get_by_role("button", name="确认接手").count() == 0


async def test_meters_are_searched_filtered_and_paged_by_the_server(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open("/meters")
    await visitor.page.get_by_text("本页 50 只").wait_for()
    await visitor.page.get_by_role("button", name="下一页").click()
    await visitor.page.get_by_text("本页 10 只").wait_for()
    await visitor.page.fill("input[aria-label='搜索表号、IMEI 或地址']", LEAKING_SERIAL)
    await visitor.page.get_by_text("本页 1 只").wait_for()
    assert LEAKING_SERIAL in visitor.page.url
    await visitor.page.fill("input[aria-label='搜索表号、IMEI 或地址']", "nothing like it")
    await visitor.page.get_by_text("没有符合条件的水表").wait_for()
    assert not visitor.faults


async def test_a_new_report_shows_without_reloading(changing_site: Site, visitors: Visitors) -> None:
    """A CJ/T 188 report that arrives while the page is open: its index, its fields, its bytes."""
    visitor = await visitors.new(changing_site)
    await visitor.log_in()
    await visitor.open(f"/meters/{FIRST_SERIAL}")
    connection = await asyncpg.connect(changing_site.database_url)
    await connection.execute(
        "WITH taken AS (INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication,"
        " source, content_format, payload_bytes, decoder, outcome, identity, last_ts, first_ts, readings,"
        " readings_stored, extra) SELECT now(), gen_random_uuid(), device, 1, 1, 'coap', 'claimed', '127.0.0.1:1', 42,"
        " 6, 'cjt188', 'stored', 1, now(), now(), 1, 1, $1::jsonb FROM devices WHERE device_id = 1"
        " RETURNING received_at, report_id)"
        " INSERT INTO raw_reports SELECT received_at, report_id, '\\x6810feedc0de' FROM taken",
        '{"di": "901F", "settlement_index_ml": 145480000, "vendor": "<b>"}',
    )
    await connection.execute(
        "UPDATE device_latest SET last_index_ml = 987654321000, last_ts = now(), last_report_at = now()"
        " WHERE meter_id = 1"
    )
    await connection.close()
    await visitor.page.get_by_text("987,654.321 m³").wait_for(timeout=20_000)
    newest = visitor.page.locator("details.nb-report", has_text="1 / 1")
    await newest.locator("summary").click(timeout=20_000)
    await newest.locator(".nb-hex").wait_for()
    said = await newest.inner_text()
    assert all(part in said for part in ("68 10 fe ed c0 de", "结算日累计示数", "145.480 m³", "cjt188", "<b>"))
    assert not visitor.faults


async def test_a_page_ends_with_its_session(changing_site: Site, visitors: Visitors) -> None:
    """One is logged out elsewhere, the other locked: both stand before the login soon, and come back to their page."""
    logged_out, locked = await visitors.new(changing_site), await visitors.new(changing_site)
    await logged_out.log_in()
    await locked.log_in("viewer")
    await logged_out.open("/alerts")
    await locked.open("/")
    connection = await asyncpg.connect(changing_site.database_url)
    await connection.execute("DELETE FROM sessions WHERE login = 'test-operator'")
    await connection.execute("UPDATE users SET enabled = false WHERE login = 'test-viewer'")
    await connection.close()
    await logged_out.page.wait_for_url("**/login?next=/alerts", timeout=20_000)
    await locked.page.wait_for_url("**/login", timeout=20_000)
    connection = await asyncpg.connect(changing_site.database_url)
    await connection.execute("UPDATE users SET enabled = true")
    await connection.close()


async def test_what_is_not_measured_is_explained(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open(f"/meters/{GAP_SERIAL}")
    await visitor.page.get_by_text("个时段有说明").click()
    await visitor.page.get_by_text("读数间隔较长，按时间分摊").first.wait_for()
    assert "插补" in await visitor.page.inner_text("details[open]")


async def test_figures_say_how_they_are_defined(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    hint = visitor.page.get_by_label("上报率 = 最近 25 小时内收到过上报的在装水表数")
    await hint.focus()
    assert await hint.evaluate("it => getComputedStyle(it, '::after').content.includes('在装水表数')")


async def test_hours_and_months_are_chosen_in_place(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open(f"/meters/{FIRST_SERIAL}")
    await visitor.page.get_by_role("button", name="按小时").click()
    await visitor.page.wait_for_url("**by=hour**")
    await visitor.page.locator("button[aria-pressed=true]", has_text="按小时").wait_for()
    address = await visitor.page.get_attribute("a[download]", "href")
    answer = await visitor.context.request.get(f"{site.base}{address}")
    assert answer.status == 200
    assert (await answer.text()).startswith("serial,start,end,volume_ml")
    await visitor.page.get_by_role("button", name="按月").click()
    await visitor.page.wait_for_url("**by=month**")
    assert not visitor.faults


async def test_an_account_that_does_not_add_up_is_said_in_red(changing_site: Site, visitors: Visitors) -> None:
    connection = await asyncpg.connect(changing_site.database_url)
    await connection.execute("UPDATE accounting SET stored = stored - 3 WHERE day = (SELECT max(day) FROM accounting)")
    await connection.close()
    visitor = await visitors.new(changing_site)
    await visitor.log_in()
    await visitor.page.locator(".nb-banner", has_text="账目不符").wait_for()
    await visitor.shoot("accounting-wrong")


async def test_one_report_is_followed_and_viewers_are_told_no(site: Site, visitors: Visitors) -> None:
    connection = await asyncpg.connect(site.database_url)
    report_id = await connection.fetchval(
        "INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication, source,"
        " content_format, payload_bytes, decoder, outcome, identity, stream_sequence) SELECT '2026-01-02T03:04:05Z',"
        " '019b7ca9-8c88-7000-8000-000000000001', device, 2, 2, 'coap', 'claimed', '127.0.0.1:1', 42, 6, 'cjt188',"
        " 'duplicate', 1, 4711 FROM devices WHERE device_id = 2 RETURNING report_id"
    )
    await connection.close()
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open("/path")
    await visitor.page.get_by_label("报文编号").fill(str(report_id))
    await visitor.page.get_by_text("消息序号 4,711").wait_for()
    await visitor.page.wait_for_url(f"**/path?report={report_id}")
    await visitor.shoot("path-trace")
    await visitor.page.get_by_label("报文编号").fill("no id")
    await visitor.page.get_by_text("这不是报文编号").wait_for()
    assert not visitor.faults
    viewer = await visitors.new(site)
    await viewer.log_in("viewer")
    assert "数据路径" not in await viewer.text()
    answer = await viewer.page.goto(f"{site.base}/path")
    assert answer is not None
    assert answer.status == 403


async def test_an_empty_platform_says_what_to_do(empty_site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(empty_site)
    await visitor.log_in()
    for path, word in (
        ("/", "nbwater meters import"), ("/meters", "nbwater simulate town"), ("/alerts", "平台会在"),
        ("/dead-letters", "没有异常报文"), ("/meters/404", "没有表号为 404 的水表"), ("/nowhere", "没有这个页面"),
    ):  # fmt: skip
        await visitor.page.goto(empty_site.base + path)
        await visitor.page.get_by_text(word).first.wait_for()


async def test_strangers_see_only_the_login(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    for path in ("/", "/meters", "/alerts", "/dead-letters"):
        await visitor.page.goto(site.base + path)
        assert visitor.page.url.startswith(f"{site.base}/login")
    await visitor.page.fill("input[name=login]", "test-operator")
    await visitor.page.fill("input[name=password]", "wrong")
    await visitor.page.click("button[type=submit]")
    await visitor.page.get_by_text("用户名或密码不正确").wait_for()
    await visitor.page.click("text=English")
    await visitor.page.get_by_text("User name or password is wrong").wait_for()
    await visitor.shoot("login")


async def test_a_lost_connection_is_said(site: Site, visitors: Visitors) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in()
    await visitor.open("/alerts")
    await visitor.context.set_offline(True)
    await visitor.page.evaluate("window.socket.io.engine.close()")
    await visitor.page.locator("#popup[aria-hidden=false]").wait_for(timeout=20_000)
    assert "连接丢失" in await visitor.page.inner_text("#popup")


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_an_engineer_sees_the_keys_of_a_meter_and_not_what_they_are(
    site: Site, visitors: Visitors, language: str
) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in("engineer", language)
    await visitor.open(f"/meters/{FIRST_SERIAL}")
    words = ("keys.title", "keys.kind.oscore", "keys.kind.psk", "keys.valid", "keys.ending", "keys.why.replaced")
    words += ("keys.pusher", "keys.bound", "keys.why.moved", "keys.by.import")
    await _check_words(visitor, "keys", words, language)
    text = await visitor.text()
    assert all(part in text for part in ("0102", "0304", "first-psk", "wang", "east", "west", "zhao"))
    assert "sealed" not in text
    assert not visitor.faults
