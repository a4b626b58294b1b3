"""Stretches of time to look through one after the other, so that no query opens every chunk of a hypertable.

A query that says no bounds, or learns them only while it runs, is planned for each chunk there is: with a chunk for
each day of some years that alone takes longer than a page may. The first stretch has what is wanted nearly always.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

FIRST = timedelta(days=32)
GROWTH = 8
BEGINNING = datetime(2010, 1, 1, tzinfo=UTC)
END = datetime(2100, 1, 1, tzinfo=UTC)
"""No report and no reading lies outside: ingest refuses such times."""

Window = tuple[datetime, datetime]
"""From and to; to is not part of it."""


def after(since: datetime, reach: timedelta, length: timedelta = FIRST) -> Iterator[Window]:
    """Parts of since <= t < since + reach, earliest first: `length` long, then GROWTH times as long as the last."""
    start, last = max(since, BEGINNING), min(since, END - reach) + reach
    while start < last:
        end = start + min(length, last - start)
        yield start, end
        start, length = end, length * GROWTH


def before(until: datetime, reach: timedelta, length: timedelta = FIRST) -> Iterator[Window]:
    """Parts of until - reach <= t < until, latest first, as `after`."""
    end, first = min(until, END), max(until, BEGINNING + reach) - reach
    while end > first:
        start = end - min(length, end - first)
        yield start, end
        end, length = start, length * GROWTH
