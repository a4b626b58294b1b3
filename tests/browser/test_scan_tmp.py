import re, pytest
from tests.browser.conftest import Site, Visitors
from tests.browser.test_pages import PAGES
from tests.browser.town import TAMPERED_SERIAL
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
JS = """() => { const out=[]; const w=document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while(w.nextNode()){const n=w.currentNode; const p=n.parentElement; if(!p||['SCRIPT','STYLE'].includes(p.tagName)||p.closest('.q-icon,.material-icons'))continue; const t=n.textContent.trim(); if(/[A-Za-z]{2,}/.test(t)) out.push(t)}
for(const e of document.querySelectorAll('*')) for(const a of ['aria-label','title','placeholder','alt']) {const v=e.getAttribute(a); if(v&&/[A-Za-z]{2,}/.test(v)) out.push('@'+a+': '+v)}
return [...new Set(out)] }"""
async def test_scan(changing_site: Site, visitors: Visitors):
    site = changing_site
    v = await visitors.new(site)
    lines = set()
    async def take(where):
        for t in await v.page.evaluate(JS):
            lines.add((where, t[:200]))
    await v.page.goto(site.base + "/login?language=zh"); await take("login")
    for e in ("credentials","throttled","unavailable"):
        await v.page.goto(site.base + f"/login?language=zh&error={e}"); await take("login")
    await v.log_in("engineer")
    await v.page.goto(site.base + "/password?error=weak"); await take("password")
    pages = {n: p for n, (p, _) in PAGES.items()} | {"nothing": "/nope", "unknown": "/meters/404404", "hours": "/meters/21060100000001?by=hour&days=2", "tampered": f"/meters/{TAMPERED_SERIAL}",
      "gap": "/meters/21060100000005?by=day&days=30", "all alerts": "/alerts?state=all", "replayed": "/dead-letters?state=replayed", "path x": "/path?report=abc", "dismissed": "/unknown-devices?state=dismissed"}
    for n, p in pages.items():
        await v.open(p)
        await v.page.wait_for_timeout(300)
        await take(n)
        await v.page.evaluate("document.querySelectorAll('main summary').forEach(e => e.click())")
        await v.page.wait_for_timeout(700)
        await take(n)
        seen=set()
        names = await v.page.evaluate("[...document.querySelectorAll('main button')].map(e => e.innerText.trim())")
        for t in names:
            b = v.page.locator("main button").filter(has_text=t).first
            if not t or t in seen or t in ("下一页",): continue
            seen.add(t)
            if t in ("忽略","复核通过","撤销","提前结束") or t.startswith("下发第"): continue
            try: await b.click(timeout=1500)
            except Exception as e: continue
            await v.page.wait_for_timeout(400)
            await take(f"{n} [{t}]")
            for sel in await v.page.locator(".q-dialog .q-select").all():
                try:
                    await sel.click(timeout=1500); await v.page.wait_for_timeout(300); await take(f"{n} [{t}] select")
                    await v.page.keyboard.press("Escape")
                except Exception: pass
            c=v.page.locator(".q-dialog button", has_text=re.compile("取消|关闭窗口"))
            if await c.count(): await c.first.click(); await v.page.wait_for_timeout(250)
    by={}
    for w,t in lines: by.setdefault(t,[]).append(w)
    with open("/tmp/texts/scan.txt","w") as f:
        for t in sorted(by): f.write(f"{t}   <- {sorted(by[t])[:3]}\n")
    print(v.faults)
