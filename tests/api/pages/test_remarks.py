"""What the platform itself writes down of commands and campaigns is said in Chinese, too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from api.pages.texts.phrases import in_chinese
from api.pages.texts.remarks import REMARKS
from gateway.coap.lwm2m.package import WHY
from gateway.push.north.recalls import NO_CALL
from ingest.commands import campaigns, critical
from tests.api.pages.reached import ROOT

CHINESE = re.compile("[\u4e00-\u9fff]")
WRITTEN = [
    "approved", "campaign 3, wave 2", "the campaign was stopped", "5 of 40 failed", "report 0199-7",
    critical.REASON, critical.TOLD_REASON, "4.04 to /3/0/13", "ctwing: taken back from its queue",
    f"ctwing: {NO_CALL}", "iotda: it is SENT", "iotda: the platform's answer is no JSON",
    "west: its product or its commands are not configured any more", "no path can be read",
    *(f"update result {number}: {why}" for number, why in WHY.items()), "update result 12: not known",
]  # fmt: skip


def _plans() -> Iterator[str]:
    """Why a LwM2M client can never have a command."""
    tree = ast.parse((ROOT / "gateway/coap/lwm2m/downlink.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "refused":
            assert isinstance(node.value, ast.Constant)
            yield str(node.value.value)


@pytest.mark.parametrize("english", [*WRITTEN, *sorted(set(_plans()))])
def test_it_is_said_in_chinese(english: str) -> None:
    assert CHINESE.search(in_chinese(english, REMARKS))


def test_no_chinese_is_left_over() -> None:
    said = [*WRITTEN, *_plans()]
    assert not [english for english, _ in REMARKS if not any(re.fullmatch(english, one, re.DOTALL) for one in said)]


def test_the_words_are_those_that_are_written() -> None:
    sources = [path.read_text() for folder in ("api", "ingest", "gateway") for path in (ROOT / folder).rglob("*.py")]
    for words in ('"approved"', 'f"campaign {campaign_id}, wave {wave}"', '"the campaign was stopped"', 'f"report {'):
        assert any(words in source for source in sources), words
    assert "' of '" in campaigns._FAILING
    assert "' failed'" in campaigns._FAILING


def test_a_persons_words_stay() -> None:
    assert in_chinese("called the customer, wrong meter", REMARKS) == "called the customer, wrong meter"
