"""What programs say of themselves."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from metering.errors import EnvelopeError
from metering.heartbeat import MAX_BYTES, Heartbeat, beat, decode, encode, figures_of


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("nbwater_x_answers", "text", ["code", "door"], registry=made).labels("2.04", "coap").inc(3)
    Gauge("nbwater_x_waiting", "text", registry=made).set(7)
    Histogram("nbwater_x_seconds", "text", registry=made).observe(0.5)
    Gauge("python_other", "text", registry=made).set(1)
    return made


def test_figures_are_ours_without_buckets() -> None:
    assert figures_of(registry()) == {
        'nbwater_x_answers_total{code="2.04",door="coap"}': 3.0,
        "nbwater_x_waiting": 7.0,
        "nbwater_x_seconds_count": 1.0,
        "nbwater_x_seconds_sum": 0.5,
    }


@given(st.builds(Heartbeat, st.text(max_size=20), st.text(max_size=99), st.floats(0, 2e9), st.dictionaries(
    st.text(max_size=20), st.floats(allow_nan=False), max_size=9)))  # fmt: skip
def test_it_comes_back_as_it_was_told(told: Heartbeat) -> None:
    assert decode(encode(told)) == told


@given(
    st.binary(max_size=60) | st.sampled_from([b"[]", b"{}", b'{"figures": [], "program": 1}', b" " * (MAX_BYTES + 1)])
)
def test_what_is_none_is_refused(body: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        assert isinstance(decode(body), Heartbeat)


async def test_a_beat_that_fails_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metering.heartbeat.EVERY_S", 0.001)
    told: list[tuple[str, bytes]] = []
    done = asyncio.Event()
    tries = 0

    async def publish(subject: str, body: bytes) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("away")
        told.append((subject, body))
        done.set()

    beating = asyncio.create_task(beat(publish, "gateway", registry()))
    await asyncio.wait_for(done.wait(), 60)
    beating.cancel()
    assert told[0][0] == "status.gateway"
    assert decode(told[0][1]).figures["nbwater_x_waiting"] == 7
