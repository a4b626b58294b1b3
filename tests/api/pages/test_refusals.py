"""Whatever can be refused on a page is said in Chinese, too: one that pages reach and nobody translated fails here."""

from __future__ import annotations

import ast
import re

import pytest

from api.pages.login import LOGIN_ERRORS, PASSWORD_ERRORS
from api.pages.texts import TEXTS
from api.pages.texts.phrases import WORDS, in_chinese
from api.pages.texts.refusals import REFUSALS
from api.pages.texts.remarks import REMARKS
from api.roles import CredentialsError, ThrottledError
from metering.errors import UnavailableError
from tests.api.pages.reached import Source
from tests.api.pages.refusals_of_pages import Refusal, refusals_of

NOT_SHOWN = {
    "api.auth.": "the forms of login and password say it by codes",
    "api.passwords.": "the same",
    "api.accounts.set_password": "the same",
    "api.roles.Role.of": "of roles in the database, which holds no others",
    "api.pages.frame.register": "told to programs, as a problem",
    "api.pages.strangers.": "told to programs, as a problem",
}
"""Where a refusal arises that no page shows, and why not."""
FOUND = refusals_of("api.pages")
SHOWN = [one for one in FOUND if not one.where.startswith(tuple(NOT_SHOWN))]
LATIN_WORD = re.compile(r"[A-Za-z_]{2,}")
NAMES = {"UUID", "ASCII", "firmware", "uri_base"}
CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.mark.parametrize("refusal", SHOWN, ids=lambda one: f"{one.where}: {one.text}")
def test_it_is_said_in_chinese(refusal: Refusal) -> None:
    assert refusal.text, "what it says cannot be told from the source: say it where it is raised"
    chinese = in_chinese(refusal.text, REFUSALS)
    assert CHINESE.search(chinese), f"add its Chinese to api/pages/texts/refusals.py: {refusal.text}"
    assert not set(LATIN_WORD.findall(chinese)) - NAMES, chinese


@pytest.mark.parametrize("where", sorted(NOT_SHOWN))
def test_what_no_page_shows_is_there(where: str) -> None:
    assert [one for one in FOUND if one.where.startswith(where)]


def test_the_search_finds_what_is_said_in_roundabout_ways() -> None:
    texts = {one.text for one in SHOWN}
    assert "to dismiss an alert, give the reason" in texts  # given by a caller
    assert "period_s is open or close" in texts  # a ValueError, put into another
    assert "no device can have this name" in texts  # raised by the database
    assert "no zone has the code 7" in texts  # put together before
    assert "an alert that is resolved cannot be resolved" in texts  # from a module that no page names


def test_no_chinese_is_left_over() -> None:
    patterns = [english for english, _ in REFUSALS]
    used = {next((one for one in patterns if re.fullmatch(one, said.text, re.DOTALL)), "") for said in SHOWN}
    assert not set(patterns) - used


def test_words_of_stored_values_are_there() -> None:
    named = {name for english, _ in (*REFUSALS, *REMARKS) for name in re.findall(r"\(\?P<(\w+)>", english)}
    assert set(WORDS) <= named
    assert all(any(key.startswith(f"{group}.") for key in TEXTS) for group in WORDS.values())


def test_its_figures_stay() -> None:
    assert in_chinese("2026-03 is closed already", REFUSALS) == "2026-03 已经关账"
    assert in_chinese("this needs the role engineer; kim is operator", REFUSALS) == "需要工程师权限"
    assert in_chinese("valve needs the role engineer; kim is operator", REFUSALS) == "“阀门”指令需要工程师权限"
    assert in_chinese("offset_s is an integer from 0 to 86399", REFUSALS) == "“偏移（秒）”须为 0 至 86399 的整数"
    assert in_chinese("the alert is dismissed by now, not open", REFUSALS) == "告警的状态已变为“误报”"
    assert in_chinese("something else", REFUSALS) == "something else"


def test_pages_show_an_error_in_the_readers_language_or_not_at_all() -> None:
    """What an exception says gets onto a page by `Wording.refusal` alone."""
    for module, tree in Source("api/pages").trees.items():
        for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name):
            for call in (node for node in ast.walk(handler) if isinstance(node, ast.Call)):
                said = ast.unparse(call)
                reads = any(isinstance(node, ast.Name) and node.id == handler.name for node in ast.walk(call))
                is_logged = said.startswith("_log.") or said == "str(error)"
                assert not reads or is_logged or "refusal(error)" in said, f"{module}: {said}"


def test_the_forms_of_strangers_have_words_for_every_code() -> None:
    codes = {kind.label for kind in (CredentialsError, ThrottledError, UnavailableError)}
    assert codes == LOGIN_ERRORS
    assert codes | {"weak"} == PASSWORD_ERRORS
    assert {f"login.error.{code}" for code in LOGIN_ERRORS} <= set(TEXTS)
    assert {f"password.error.{code}" for code in PASSWORD_ERRORS} <= set(TEXTS)
