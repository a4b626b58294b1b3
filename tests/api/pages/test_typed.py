"""Local times that people type, on days on which clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from api.pages import typed
from api.pages.wording import Language, Wording
from metering.errors import RequestError

ROME = ZoneInfo("Europe/Rome")
ZH, EN = Wording(Language.ZH, ROME), Wording(Language.EN, ROME)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_time_that_the_clocks_skip_is_refused() -> None:
    with pytest.raises(RequestError, match="当地没有 2026-03-29 02:30：时钟此时拨快，其后是 2026-03-29 03:30"):
        typed.instant(ZH, "2026-03-29 02:30:00")
    with pytest.raises(RequestError, match="there is no 2026-03-29 02:30 here"):
        typed.span(EN, "2026-03-28T02:30", "2026-03-29T02:30")
    assert typed.instant(ZH, "2026-03-29 03:00") == utc("2026-03-29 01:00")
    assert typed.instant(ZH, "2026-03-29 01:59:59") == utc("2026-03-29 00:59:59")


def test_of_a_time_that_comes_twice_the_form_asks_which() -> None:
    with pytest.raises(RequestError) as asked:
        typed.instant(EN, "2026-10-25 02:30:00")
    first, second = "2026-10-25 02:30:00+02:00", "2026-10-25 02:30:00+01:00"
    assert f"write {first} or {second}" in str(asked.value)
    assert typed.instant(EN, first) == utc("2026-10-25 00:30")
    assert typed.instant(EN, second) == utc("2026-10-25 01:30")


def test_a_span_takes_the_longer_of_two() -> None:
    assert typed.span(ZH, "2026-10-25T02:30", "2026-10-25T02:30") == (utc("2026-10-25 00:30"), utc("2026-10-25 01:30"))


@pytest.mark.parametrize("words", ["", None, "tomorrow", "2026-02-30 00:00", "0001-01-01 00:00:00", "2026-03-01T25:00"])
def test_what_is_no_time_is_asked_for(words: object) -> None:
    with pytest.raises(RequestError, match="请填写时刻"):
        typed.instant(ZH, words)


def test_days() -> None:
    assert typed.day(ZH, " 2026-03-29 ") == date(2026, 3, 29)
    with pytest.raises(RequestError, match="give the day"):
        typed.day(EN, "29 March")
