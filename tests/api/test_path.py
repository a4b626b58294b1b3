"""The states of the path's stages, and its reading with nothing there but a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY

from api.context import PageContext
from api.heartbeats import Heartbeats
from api.pages.texts import TEXTS
from api.path import (
    PathReader,
    Stage,
    State,
    Unit,
    database_stage,
    gateway_stage,
    ingest_stage,
    settlement_stage,
    stream_stage,
)
from api.queries.path import SETTLEMENT_LOCK, PathRow, get_path
from api.queries.trace import get_trace
from api.stream import InFlight, StreamState
from ingest.settlement.__main__ import LOCK
from metering.heartbeat import Heartbeat
from tests.api.conftest import NOW, ZONE, Seed

QUIET = PathRow(0, None, 0, True, 0, None, 1, 0, 0.1, 0.2, 1_000)
NOTHING = InFlight(0, 0, False, NOW)
WAITING = InFlight(9, 2, False, NOW, NOW - timedelta(seconds=60))
GOOD = {
    "nbwater_gateway_nats_connected": 1.0,
    "nbwater_gateway_registry_ready": 1.0,
    "nbwater_gateway_oldest_pending_seconds": 0.01,
    'nbwater_gateway_answers_total{code="5.03"}': 0.0,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def gateway(*beats: dict[str, float]) -> tuple[State, str]:
    clock = Clock()
    heard = Heartbeats(clock)
    for figures in beats:
        clock.now += 3
        heard.hear(Heartbeat("gateway", "one", 1.0, figures))
    stage = gateway_stage(heard.of("gateway"), heard=True)
    return stage.state, stage.reason


def test_states_of_the_gateway() -> None:
    assert gateway() == (State.BAD, "silent")
    assert gateway_stage(Heartbeats().of("gateway"), heard=False).state is State.UNKNOWN
    assert gateway(GOOD, GOOD) == (State.OK, "")
    assert gateway(GOOD | {"nbwater_gateway_nats_connected": 0}) == (State.BAD, "no_stream")
    assert gateway(GOOD | {"nbwater_gateway_registry_ready": 0}) == (State.BAD, "no_registry")
    assert gateway(GOOD | {"nbwater_gateway_oldest_pending_seconds": 4}) == (State.WARN, "slow")
    busy = GOOD | {'nbwater_gateway_answers_total{code="5.03"}': 30.0}
    assert gateway(GOOD, busy) == (State.WARN, "back_pressure")
    assert gateway(busy, busy) == (State.OK, "")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (StreamState(10, 10, 100), (State.OK, "")),
        (StreamState(10, 80, 100), (State.WARN, "filling")),
        (StreamState(10, 99, 100), (State.BAD, "full")),
        (StreamState(10, 99, -1), (State.BAD, "away")),
        (None, (State.BAD, "away")),
    ],
)
def test_states_of_the_stream(state: StreamState | None, expected: tuple[State, str]) -> None:
    stage = stream_stage(state, WAITING, NOW)
    assert (stage.state, stage.reason) == expected
    assert _value(stage, "oldest") == 60
    assert _value(stream_stage(state, InFlight(None, None, False, NOW), NOW), "oldest") is None


def test_states_of_ingest_and_settlement() -> None:
    said = Heartbeats().of("ingest")
    late = replace(WAITING, oldest_at=NOW - timedelta(hours=1))
    states = [ingest_stage(said, QUIET, in_flight, NOW).state for in_flight in (NOTHING, WAITING, late)]
    assert states == [State.OK, State.WARN, State.BAD]
    assert ingest_stage(said, replace(QUIET, leases=0), NOTHING, NOW).reason == "no_lease"
    ages = [None, NOW - timedelta(minutes=5), NOW - timedelta(hours=1)]
    states = [settlement_stage(replace(QUIET, oldest_span_at=at), None, NOW).state for at in ages]
    assert states == [State.OK, State.WARN, State.BAD]
    assert settlement_stage(replace(QUIET, settlement_leads=False), None, NOW).reason == "stands_still"


def _stages() -> Iterator[Stage]:
    said = Heartbeats().of("gateway")
    yield gateway_stage(said, heard=True)
    yield stream_stage(None, NOTHING, NOW)
    yield ingest_stage(said, QUIET, NOTHING, NOW)
    yield database_stage(QUIET)
    yield settlement_stage(QUIET, 1.0, NOW)


def test_every_figure_state_and_reason_has_words() -> None:
    keys = {f"path.{stage.key}.{figure.key}" for stage in _stages() for figure in stage.figures}
    keys |= {f"path.stage.{stage.key}" for stage in _stages()} | {f"path.state.{state}" for state in State}
    reasons = "no_nats silent no_stream no_registry back_pressure slow away full filling no_lease backlog stands_still"
    keys |= {f"path.reason.{reason}" for reason in reasons.split()}
    assert keys <= set(TEXTS)
    assert {figure.unit for stage in _stages() for figure in stage.figures} == set(Unit)


def _value(stage: Stage, key: str) -> float | None:
    return next(figure.value for figure in stage.figures if figure.key == key)


def test_the_lock_that_is_looked_for_is_settlements() -> None:
    assert SETTLEMENT_LOCK == LOCK


async def test_the_database_says_who_works_and_what_waits(
    context: PageContext, seeded: Seed, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    assert not (await get_path(context.read)).settlement_leads
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    await connection.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) SELECT 1, now(), now() FROM generate_series(1, 3)"
    )
    await connection.execute(
        "INSERT INTO watermarks (partition, holder, lease_until) VALUES (0, 'x', now() + INTERVAL '1 hour'),"
        " (1, 'y', now() - INTERVAL '1 hour')"
    )
    row = await get_path(context.read)
    assert row.settlement_leads
    assert (row.spans_waiting, row.leases, row.dead_letters_waiting) == (3, 1, 1)
    assert row.oldest_span_at is not None
    assert row.oldest_span_at <= datetime.now(UTC)
    await connection.close()


async def test_what_does_not_add_up_is_counted(context: PageContext, seeded: Seed, database_url: str) -> None:
    assert (await context.path.read()).adds_up
    assert REGISTRY.get_sample_value("nbwater_api_accounting_wrong_lines") == 0
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE accounting SET stored = stored - 1 WHERE received = 7")
    await connection.close()
    another = PathReader(context.read, context.stream, Heartbeats(), ZONE, lambda: NOW)
    assert not (await another.read()).adds_up
    assert REGISTRY.get_sample_value("nbwater_api_accounting_wrong_lines") == 1


async def test_operators_may_ask_and_viewers_may_not(
    operator: httpx.AsyncClient, viewer: httpx.AsyncClient, seeded: Seed
) -> None:
    answer = await operator.get("/api/v1/path")
    assert answer.status_code == 200
    said = answer.json()
    assert [stage["key"] for stage in said["stages"]] == ["gateway", "stream", "ingest", "database", "settlement"]
    assert said["adds_up"]
    assert said["in_flight"]["reports"] is None
    assert (await viewer.get("/api/v1/path")).status_code == 403


async def test_a_report_is_followed(viewer: httpx.AsyncClient, seeded: Seed) -> None:
    answer = await viewer.get(f"/api/v1/reports/{seeded.report_ids[4]}/trace")
    assert answer.status_code == 200
    trace = answer.json()
    assert trace["outcome"] == "dead_lettered"
    steps = {step["key"]: step["detail"] for step in trace["steps"]}
    assert list(steps) == ["minted", "received", "taken", "ended", "dead_letter"]
    assert steps["received"]["raw"] is True
    assert steps["dead_letter"]["reason"] == "not_cbor"
    unknown = await viewer.get("/api/v1/reports/019b7cb9-fa88-7000-8000-000000000001/trace")
    assert (unknown.status_code, unknown.json()["outcome"]) == (200, None)
    assert (await viewer.get("/api/v1/reports/nonsense/trace")).status_code == 400


async def test_the_stream_message_of_a_report_is_told(context: PageContext, seeded: Seed, database_url: str) -> None:
    report_id = str(seeded.report_ids[0])
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE reports SET stream_sequence = 4711 WHERE report_id = $1::text::uuid", report_id)
    await connection.close()
    trace = await get_trace(context.read, report_id, ZONE.key)
    assert [step.detail["sequence"] for step in trace.steps if step.key == "stream"] == [4711]
