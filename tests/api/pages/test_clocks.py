"""Times as clocks show them, where clocks change and where they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from api.pages import clocks
from api.pages.wording import Language, Wording

ROME, SHANGHAI = ZoneInfo("Europe/Rome"), ZoneInfo("Asia/Shanghai")
BOUNDS = (datetime.fromisoformat("2010-01-01"), datetime.fromisoformat("2037-01-01"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_time_that_comes_twice_is_shown_with_its_offset() -> None:
    say = Wording(Language.ZH, ROME)
    assert [say.instant(utc(f"2024-10-27 0{hour}:30")) for hour in (0, 1, 2)] == [
        "2024-10-27 02:30 +02:00", "2024-10-27 02:30 +01:00", "2024-10-27 03:30",
    ]  # fmt: skip
    assert say.instant(utc("2024-03-31 01:00"), seconds=True) == "2024-03-31 03:00:00"


def test_whether_clocks_change() -> None:
    for now in (utc("2026-01-01"), utc("2026-07-01"), utc("2026-11-28")):
        assert clocks.changes_clocks(ROME, now)
        assert not clocks.changes_clocks(SHANGHAI, now)


@given(st.datetimes(*BOUNDS, timezones=st.just(UTC)), st.sampled_from([ROME, SHANGHAI]))
def test_every_instant_is_among_those_of_the_time_the_clocks_show(instant: datetime, zone: ZoneInfo) -> None:
    found = clocks.instants_of(instant.astimezone(zone).replace(tzinfo=None), zone)
    assert instant in found
    assert clocks.comes_twice(instant.astimezone(zone)) == (len(found) == 2)
    assert found == sorted(found)
    assert len(found) == 1 or found[1] - found[0] == timedelta(hours=1)
