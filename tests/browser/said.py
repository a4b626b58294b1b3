"""What a page says, and that it says it in one language."""

from __future__ import annotations

import re

from api.pages.texts import TEXTS
from tests.browser.conftest import Visitor
from tests.browser.town import HOSTILE_TEXT

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
    "LG-", "LXSZ-NB", "test-operator", "test-engineer", "wang", "li", "zhao", "east", "west", "first-psk", "note",
    "iotda", "coaps",
}  # fmt: skip
CHINESE = re.compile(r"[\u4e00-\u9fff]+")
OURS = {run for text in TEXTS.values() for run in CHINESE.findall(text.zh) if len(run) > 1}
"""Chinese that we say, as against names and addresses."""


async def check_words(visitor: Visitor, name: str, keys: tuple[str, ...], language: str) -> None:
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
