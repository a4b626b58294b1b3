"""Both languages say everything, and nothing is said that no page shows."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from api.pages.grades import Grade
from api.pages.texts import TEXTS
from metering.alarms import Alarm
from metering.model import Authentication, ContentFormat, Door, Outcome, Quality, Valve

PAGES = Path(__file__).parents[2] / "api" / "pages"
SOURCE = "\n".join(path.read_text() for path in PAGES.glob("*.py"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
WITHOUT_ENGLISH = {"overview.meters_unit"}
NAMES_THE_OTHER_LANGUAGE = {"frame.language", "frame.language_label"}
PROPER_NAMES = {"CoAP", "LwM2M", "MQTT", "OSCORE", "DTLS", "JSON", "CBOR", "IMEI"}
GROUPS = {"login.", "password.", "reason.", "use."}
"""Chosen by what is stored or by which form it is: their keys are put together where they are used."""


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_both_languages_say_it_with_the_same_figures(key: str) -> None:
    zh, en = TEXTS[key]
    assert zh.strip()
    assert en.strip() or key in WITHOUT_ENGLISH
    assert _placeholders(zh) == _placeholders(en)
    if key not in NAMES_THE_OTHER_LANGUAGE:
        assert not CHINESE.search(en)
        assert CHINESE.search(zh) or zh in PROPER_NAMES or PLACEHOLDER.sub("", zh).strip("（）：, ") == ""


def test_every_key_in_the_source_exists() -> None:
    used = set(re.findall(r"""say\(\s*"([a-z_.0-9]+)\"""", SOURCE))
    assert used
    assert used <= set(TEXTS)


def test_every_text_is_used() -> None:
    literal = set(re.findall(r"""["']([a-z_]+(?:\.[a-z_0-9]+)+)["']""", SOURCE))
    built = set(re.findall(r"""["']([a-z_]+(?:\.[a-z_]+)*[._])\{""", SOURCE))
    groups = {f"{group}." for group in re.findall(r"""\.value\(\s*"([a-z_.]+)\"""", SOURCE)}
    used = tuple(built | groups | GROUPS)
    assert not [key for key in TEXTS if key not in literal and not key.startswith(used)]


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("quality", list(Quality)),
        ("outcome", list(Outcome)),
        ("door", list(Door)),
        ("authentication", list(Authentication)),
        ("format", [int(value) for value in ContentFormat]),
        ("valve", [int(value) for value in Valve]),
        ("grade", list(Grade)),
        ("alarm", [str(alarm.name).lower() for alarm in Alarm]),
    ],
)
def test_every_stored_value_has_a_word(group: str, values: list[object]) -> None:
    assert not [value for value in values if f"{group}.{value}" not in TEXTS]
