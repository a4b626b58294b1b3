"""Whatever is refused on the pages of volumes and bills is said in Chinese, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.pages.texts.refusals import REFUSALS, in_chinese

API = Path(__file__).parents[3] / "api"
SOURCES = (
    "billing_rules.py", "amendment_rules.py", "reasons.py", "queries/billing.py", "queries/billing_ledger.py",
    "queries/billing_preview.py", "queries/amending.py", "queries/amendments.py", "queries/day_edits.py",
    "pages/meter_versions.py",
)  # fmt: skip
NOT_ON_THESE_PAGES = {"give a reason of 1 to 7 printable characters"}
"""Of keys that end."""


def _texts() -> Iterator[str]:
    """What the errors say; a 7 for each value put in."""
    for source in SOURCES:
        for node in ast.walk(ast.parse((API / source).read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
                yield from map(_text, node.args[:1])
            if isinstance(node, ast.keyword) and node.arg == "missing":
                yield _text(node.value)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
    return ""  # said by the caller, or by the page's own words


ALL = sorted({text for text in _texts() if text} - NOT_ON_THESE_PAGES)


@pytest.mark.parametrize("english", ALL)
def test_it_is_said_in_chinese(english: str) -> None:
    chinese = in_chinese(english.replace(" 7 has no 7 7", " 7 has no edit 7"))
    assert any("\u4e00" <= character <= "\u9fff" for character in chinese), english


def test_no_chinese_is_left_over() -> None:
    assert len(ALL) + 2 >= len(REFUSALS)


def test_its_figures_stay() -> None:
    assert in_chinese("2026-03 is closed already") == "2026-03 已经关账"
    assert in_chinese("this needs the role engineer; kim is operator") == "需要工程师权限"
    assert in_chinese("something else") == "something else"
