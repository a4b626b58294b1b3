"""Judging groups of silent meters."""

from __future__ import annotations

import pytest

from ingest.leaks.outage_groups import (
    MAX_GROUPS,
    SHORTEST_S,
    Outage,
    Silent,
    best_first,
    enough_heard,
    groups,
    is_outage,
    outage,
)

HOUR = 3_600


def silent(meter: int, heard_h: float, usual_h: float = 24, **shares: str) -> Silent:
    return Silent(meter, int(heard_h * HOUR), int((heard_h + usual_h) * HOUR), shares)


def test_the_largest_group_comes_first_and_cells_before_zones() -> None:
    meters = [silent(n, 1, cell="7", zone="1") for n in range(6)] + [silent(n, 1, zone="1") for n in range(10, 12)]
    meters += [silent(n, 1, cell="8", zone="2") for n in range(20, 26)]
    assert [(group.kind, group.key, len(group.silent)) for group in groups(meters, 5)] == [
        ("zone", "1", 8), ("cell", "7", 6), ("cell", "8", 6), ("zone", "2", 6),
    ]  # fmt: skip


def test_the_time_in_which_the_newest_were_due() -> None:
    meters = [silent(n, n, cell="7") for n in range(10)]
    (group,) = groups(meters, 4)
    assert (group.from_s, group.until_s) == (30 * HOUR, 33 * HOUR)
    assert group.missing == 4
    assert groups(meters[:3], 4) == []
    assert outage(group, 0, 0).began_s == 9 * HOUR
    assert outage(group, 0, 29 * HOUR).began_s == 29 * HOUR


def test_the_time_is_never_shorter_than_says_something() -> None:
    (group,) = groups([silent(n, 1 + n // 20 / 100, cell="7") for n in range(40)], 5)
    assert (group.until_s - group.from_s, group.missing) == (SHORTEST_S, 40)


@pytest.mark.parametrize(("missing", "heard", "event"), [(8, 2, True), (7, 3, False), (4, 0, False), (5, 0, True)])
def test_most_of_what_was_due(missing: int, heard: int, event: bool) -> None:
    assert is_outage(missing, heard, 5, 0.8) is event


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("missing", [2, 20, 333])
def test_enough_heard_makes_it_none_and_is_hardly_more_than_needed(missing: int, share: float) -> None:
    enough = enough_heard(missing, share)
    assert not is_outage(missing, enough, missing, share)
    assert is_outage(missing, enough - 3, missing, share) or enough < 3


def test_a_cell_explains_as_much_as_the_zone_around_it() -> None:
    meters = [silent(n, 1, cell="7", zone="1") for n in range(20)] + [silent(99, 1, zone="1")]
    both = [Outage(group, heard, 0) for group, heard in zip(groups(meters, 5), (1, 0), strict=True)]
    assert [one.group.kind for one in best_first(both)] == ["cell", "zone"]


def test_no_more_groups_than_can_be_judged() -> None:
    meters = [silent(n, 1, cell=str(n // 5)) for n in range(5 * (MAX_GROUPS + 1))]
    assert len(groups(meters, 5)) == MAX_GROUPS
