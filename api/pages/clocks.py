"""Times as the clocks of the utility show them: on two days a year, where clocks change, some never and some twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MONTH = timedelta(days=30)
MONTHS = 12


def instants_of(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """When the zone's clocks show this time, which has no offset: once, never, or twice, the earlier first. In UTC: two
    datetimes of one zone compare by what clocks show."""
    readings = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    shown = {at for at in readings if at.astimezone(zone).replace(tzinfo=None, fold=0) == wall.replace(fold=0)}
    return sorted(shown)


def changes_clocks(zone: ZoneInfo, now: datetime) -> bool:
    """Whether the zone's clocks change within a year of `now`."""
    return len({(now + month * MONTH).astimezone(zone).utcoffset() for month in range(MONTHS + 1)}) > 1


def comes_twice(local: datetime) -> bool:
    """Whether clocks show this time of a zone twice."""
    if local.utcoffset() == local.replace(fold=1 - local.fold).utcoffset():
        return False
    return isinstance(local.tzinfo, ZoneInfo) and len(instants_of(local.replace(tzinfo=None), local.tzinfo)) > 1
