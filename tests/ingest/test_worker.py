from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ingest.classify import Message, Prepared
from ingest.consumer import Delivery, StreamLife
from ingest.lease import Watermark, is_dead, new_holder
from ingest.worker import Batch, begin_at

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def test_where_reading_begins() -> None:
    life = StreamLife(CREATED, 5, 20)
    assert begin_at(Watermark(0, None), life) == Watermark(0, CREATED)
    assert begin_at(Watermark(9, CREATED), life) == Watermark(9, CREATED)
    assert begin_at(Watermark(1, CREATED), life) == Watermark(1, CREATED), "what is lost is said, the rest is read"
    assert begin_at(Watermark(9, CREATED - timedelta(1)), life) == Watermark(0, CREATED), "the stream was made anew"
    assert begin_at(Watermark(21, CREATED), life) == Watermark(0, CREATED), "the stream was set back"


def test_a_holder_is_dead_only_when_that_is_certain() -> None:
    alive = new_holder()
    boot, namespace, _, started, token = alive.split("/")
    assert not is_dead(alive)
    assert is_dead("/".join((boot, namespace, "1", started + "0", token)))
    assert not is_dead("/".join(("another machine", namespace, "1", started + "0", token)))
    assert not is_dead("a worker of another program")


def test_it_is_behind_only_while_more_waits() -> None:
    def batch(waiting: int) -> Batch:
        return Batch([Delivery(Message(7, 1_000_000, b""), None, waiting)], Prepared([], [], []))  # type: ignore[arg-type]  # no handle

    assert batch(3).behind_s(61_000_000) == 60.0
    assert batch(0).behind_s(61_000_000) == 0.0, "it was the last: an old report is no backlog"
    assert batch(3).behind_s(0) == 0.0, "clocks differ"
