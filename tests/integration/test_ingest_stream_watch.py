"""The backlog as the metrics say it, on a real stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.js import JetStreamContext
from prometheus_client import REGISTRY

from ingest import stream_watch
from ingest.stream_watch import StreamWatch
from metering.clock import now_us
from metering.streams import UP_STREAM
from tests.conftest import TEST_STREAM_BYTES
from tests.integration.ingest_town import FIRST_S, native, open_pool, publish, report, take_all


def value(name: str) -> float:
    found = REGISTRY.get_sample_value(f"nbwater_ingest_{name}")
    assert found is not None
    return found


async def test_what_waits_has_an_age_and_what_is_taken_has_none(
    js: JetStreamContext, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_pool(database_url) as pool:
        watch = StreamWatch(pool, js, partitions=1)
        await watch.look()
        assert (value("stream_messages"), value("oldest_untaken_seconds")) == (0, 0)
        assert value("stream_max_bytes") == TEST_STREAM_BYTES
        await publish(js, report("1001", native(1, FIRST_S, [1])))
        later = now_us() + 3_600_000_000
        monkeypatch.setattr(stream_watch, "now_us", lambda: later)
        await watch.look()
        assert value("stream_messages") == 1
        assert value("stream_bytes") > 0
        assert 3_500 < value("oldest_untaken_seconds") < 7_200
        await take_all(pool, js, 1)
        await watch.look()
        assert (value("stream_messages"), value("oldest_untaken_seconds")) == (1, 0)
        await publish(js, report("1001", native(2, FIRST_S, [2])))
        await watch.look()
        assert value("oldest_untaken_seconds") > 3_500
        await _of_another_life(pool, js)
        await watch.look()
        assert value("oldest_untaken_seconds") > 3_500


async def _of_another_life(pool: Any, js: JetStreamContext) -> None:
    """A watermark that names another stream says nothing of this one."""
    created = (await js.stream_info(UP_STREAM)).created
    assert created is not None
    await pool.execute(
        "UPDATE watermarks SET stream_created = $1, sequence = 99", created.astimezone(UTC) - timedelta(days=1)
    )
    assert datetime.now(UTC) > created
