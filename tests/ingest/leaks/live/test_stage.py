"""The live leak stage on a real database: from settled readings to alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest

from ingest.leaks.habits import STATE, VERSION
from ingest.leaks.live import stage as stage_module
from ingest.leaks.live import states
from ingest.leaks.live.slices import found
from ingest.leaks.live.stage import LeakStage
from metering.billing import CLOSING_LOCK
from metering.leak_settings import LeakSettings, VendorRule
from tests.ingest.leaks import homes
from tests.ingest.leaks.live.homes_stored import (
    BEGIN_H,
    SETTINGS,
    ZONE,
    add_meters,
    at,
    due,
    leaking,
    look,
    own_alerts,
    store,
)


async def test_a_leak_is_raised_confirmed_and_cleared(pool: Any) -> None:
    (meter_id,) = await add_meters(pool, 1)
    flow = homes.flows(1)[0]
    flow[BEGIN_H : BEGIN_H + 5 * 24] += 6
    await store(pool, meter_id, flow, 0, BEGIN_H)
    await look(pool)
    assert await own_alerts(pool) == []
    await store(pool, meter_id, flow, BEGIN_H, BEGIN_H + 60)
    await look(pool)
    (alert,) = await own_alerts(pool)
    assert (alert["kind"], alert["meter_id"], alert["severity"]) == ("leak", meter_id, "warning")
    assert alert["rate_ml_h"] == pytest.approx(6_000, rel=0.2)
    assert alert["rate_low_ml_h"] <= alert["rate_ml_h"] <= alert["rate_high_ml_h"]
    assert abs(alert["started_at"] - at(BEGIN_H)) < timedelta(hours=12)
    await store(pool, meter_id, flow, BEGIN_H + 60, BEGIN_H + 100)
    await look(pool)
    (alert,) = await own_alerts(pool)
    assert alert["certainty"] == "confirmed"
    assert alert["last_seen_at"] == at(BEGIN_H + 99)
    await store(pool, meter_id, flow, BEGIN_H + 100, BEGIN_H + 300)
    await look(pool)
    (alert,) = await own_alerts(pool)
    assert alert["certainty"] == "cleared"
    assert at(BEGIN_H + 5 * 24) < alert["ended_at"] < at(BEGIN_H + 12 * 24)
    events = await pool.fetch("SELECT to_state FROM alert_events WHERE alert_id = $1 ORDER BY at", alert["alert_id"])
    assert {row[0] for row in events[:2]} == {"open", "suspected"}
    assert [row[0] for row in events[2:]] == ["confirmed", "cleared"]


@pytest.mark.parametrize(("rules", "after"), [([], "resolved"), ([VendorRule.FLOW_24H], "open")])
async def test_a_leak_takes_over_what_the_makers_rule_said(pool: Any, rules: list[VendorRule], after: str) -> None:
    meter_id, _ = await leaking(pool)
    assert await pool.fetchval("SELECT meter_id FROM alerts WHERE kind = 'continuous_flow'") == meter_id
    await look(pool, LeakSettings(vendor_rules=rules))
    assert await pool.fetchval("SELECT state FROM alerts WHERE kind = 'continuous_flow'") == after
    assert [one["kind"] for one in await own_alerts(pool)] == ["leak"]


async def test_it_does_not_wait_for_batches_that_are_settled_nor_they_for_it(pool: Any) -> None:
    """Both locks had one number: the stage found nothing due while anything was settled, and held settlement up."""
    await leaking(pool)
    async with pool.acquire() as settling, settling.transaction():
        await settling.execute("SELECT pg_advisory_xact_lock_shared($1)", CLOSING_LOCK)
        assert await LeakStage(pool, ZONE, SETTINGS).look_at_batch()
    assert [alert["kind"] for alert in await own_alerts(pool)] == ["leak"]


async def test_a_bulk_meter_has_no_leak_behind_it(pool: Any) -> None:
    meter_id, flow = await leaking(pool)
    await pool.execute("INSERT INTO zones (code, name, kind) VALUES ('D', 'D', 'dma')")
    await pool.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from) SELECT zone_id, $1, 'in', $2 FROM zones",
        meter_id, at(0),
    )  # fmt: skip
    await look(pool)
    assert await own_alerts(pool) == []
    await pool.execute("DELETE FROM zone_flows")
    await store(pool, meter_id, flow, BEGIN_H + 60, BEGIN_H + 100)
    await look(pool)
    assert [alert["kind"] for alert in await own_alerts(pool)] == ["leak"]
    await pool.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from) SELECT zone_id, $1, 'in', $2 FROM zones",
        meter_id, at(0),
    )  # fmt: skip
    await store(pool, meter_id, flow, BEGIN_H + 100, BEGIN_H + 120)
    await look(pool)
    (alert,) = await own_alerts(pool)
    assert alert["ended_at"] is not None, "raised before the meter was made an inlet"


async def test_a_burst_that_goes_on_keeps_its_rate(pool: Any) -> None:
    meter_id, flow = await leaking(pool, 0)
    flow[BEGIN_H : BEGIN_H + 30] += 900
    await store(pool, meter_id, flow, BEGIN_H, BEGIN_H + 10)
    await look(pool)
    await store(pool, meter_id, flow, BEGIN_H + 10, BEGIN_H + 30)
    await look(pool)
    (alert,) = [alert for alert in await own_alerts(pool) if alert["kind"] == "burst"]
    assert (alert["certainty"], alert["severity"], alert["last_seen_at"]) == ("confirmed", "critical", at(BEGIN_H + 29))
    assert alert["rate_ml_h"] == pytest.approx(920_000, rel=0.05)
    assert alert["evidence"]["peak_ml_h"] >= alert["rate_ml_h"] > alert["evidence"]["own_maximum_ml_h"]


async def test_what_is_lost_before_commit_is_done_again(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends the connection when all is written but the commit."""
    await leaking(pool)
    done = states.done

    async def cut(connection: Any, looked_at: Any) -> None:
        await done(connection, looked_at)
        with pytest.raises(asyncpg.PostgresConnectionError):
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        raise ConnectionResetError

    stage = LeakStage(pool, ZONE, SETTINGS)
    monkeypatch.setattr(states, "done", cut)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await stage.look_at_batch()
    assert (await own_alerts(pool), await due(pool)) == ([], 1)
    assert await pool.fetchval("SELECT count(*) FROM leak_states") == 0
    monkeypatch.setattr(states, "done", done)
    assert await stage.look_at_batch() == 1
    once = await own_alerts(pool)
    assert [alert["kind"] for alert in once] == ["leak"]
    await pool.execute("INSERT INTO leak_due (meter_id, from_ts) SELECT meter_id, now() FROM meters")
    assert await stage.look_at_batch() == 1
    assert await own_alerts(pool) == once
    assert await pool.fetchval("SELECT count(*) FROM alert_events WHERE to_state = 'suspected'") == 1


async def test_a_meter_on_which_it_fails_stops_no_other(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meters = await add_meters(pool, 5)
    flow = homes.flows(5)
    for meter_id, of_home in zip(meters, flow, strict=True):
        await store(pool, meter_id, of_home, 0, 100)

    def poisoned(of: Any, *arguments: Any) -> Any:
        if meters[3] in of.meters.meter_id:
            raise ValueError("no such number")
        return found(of, *arguments)

    monkeypatch.setattr(stage_module, "found", poisoned)
    await look(pool)
    assert await due(pool) == 0
    assert [row[0] for row in await pool.fetch("SELECT meter_id FROM leak_states ORDER BY 1")] == [
        meter_id for meter_id in meters if meter_id != meters[3]
    ]


async def test_what_changes_while_it_looks_stays_due(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meter_id, _ = await leaking(pool)
    done = states.done

    async def changed_meanwhile(connection: Any, looked_at: Any) -> None:
        async with pool.acquire() as settlement:
            await states.note_due(settlement, looked_at.meter_id, looked_at.from_s - 7_200)
        await done(connection, looked_at)

    monkeypatch.setattr(states, "done", changed_meanwhile)
    await LeakStage(pool, ZONE, SETTINGS).look_at_batch()
    assert await pool.fetch("SELECT meter_id, from_ts FROM leak_due") == [(meter_id, at(-2))]


async def test_a_leak_that_corrected_readings_deny_is_over(pool: Any) -> None:
    meter_id, flow = await leaking(pool)
    await LeakStage(pool, ZONE, SETTINGS).look_at_batch()
    assert [alert["certainty"] for alert in await own_alerts(pool)] == ["suspected"]
    flow[BEGIN_H:] -= 6
    await pool.execute("DELETE FROM readings WHERE ts > $1", at(BEGIN_H))
    await store(pool, meter_id, flow, BEGIN_H + 1, BEGIN_H + 60)
    await look(pool)
    (alert,) = await own_alerts(pool)
    assert (alert["certainty"], alert["ended_at"]) == ("cleared", at(BEGIN_H + 59))


async def test_a_resolved_leak_that_goes_on_is_raised_again(pool: Any) -> None:
    meter_id, flow = await leaking(pool)
    await LeakStage(pool, ZONE, SETTINGS).look_at_batch()
    await pool.execute("UPDATE alerts SET state = 'resolved', closed_at = now()")
    await store(pool, meter_id, flow, BEGIN_H + 60, BEGIN_H + 70)
    await look(pool)
    assert len(await own_alerts(pool)) == 1
    await store(pool, meter_id, flow, BEGIN_H + 70, BEGIN_H + 90)
    await look(pool)
    assert [alert["state"] for alert in await own_alerts(pool)] == ["resolved", "open"]


async def test_what_outlasts_a_suppression_is_raised_as_of_its_end(pool: Any) -> None:
    meter_id, flow = await leaking(pool, 0)
    await pool.execute(
        "INSERT INTO alert_suppressions (meter_id, kind, valid_from, valid_to, reason, created_by) "
        "VALUES ($1, 'leak', $2, $3, 'works', 'wang')", meter_id, at(BEGIN_H + 20), at(BEGIN_H + 75),
    )  # fmt: skip
    await store(pool, meter_id, flow, BEGIN_H, BEGIN_H + 60)
    await look(pool)
    assert await own_alerts(pool) == []
    await store(pool, meter_id, flow, BEGIN_H + 60, BEGIN_H + 80)
    await look(pool)
    (alert,) = await own_alerts(pool)
    assert alert["raised_at"] == at(BEGIN_H + 75)


async def test_the_meters_own_alarms_are_further_witnesses(pool: Any) -> None:
    meter_id, _ = await leaking(pool)
    await pool.execute(
        "INSERT INTO alerts (kind, severity, meter_id, started_at, raised_at, last_seen_at, evidence) "
        "VALUES ('meter_alarm:leak', 'warning', $1, now(), now(), now(), '{}')", meter_id,
    )  # fmt: skip
    await LeakStage(pool, ZONE, SETTINGS).look_at_batch()
    assert [alert["evidence"].get("meter_alarms") for alert in await own_alerts(pool)] == [None, ["leak"]]


async def test_a_meter_that_moved_is_learned_anew(pool: Any) -> None:
    """Other people's habits say nothing of those who live there now."""
    meter_id, flow = await leaking(pool, 0)
    await LeakStage(pool, ZONE, SETTINGS).look_at_batch()
    assert await pool.fetchval("SELECT days FROM leak_states") == 29
    await pool.execute("INSERT INTO service_points (address) VALUES ('here'), ('there')")
    await pool.execute("INSERT INTO devices (device) VALUES ('861')")
    await pool.executemany(
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, valid_to) "
        "VALUES ($1, $2, 1, $3, $4)",
        [(1, meter_id, at(-1), at(BEGIN_H + 5)), (2, meter_id, at(BEGIN_H + 5), None)],
    )
    await store(pool, meter_id, flow, BEGIN_H, BEGIN_H + 60)
    await look(pool)
    assert await pool.fetchval("SELECT days FROM leak_states") == 1
    assert await own_alerts(pool) == []


async def test_a_meter_whose_size_is_corrected_is_learned_anew(pool: Any) -> None:
    """A household's levels judged it, and what is remembered is in terms of them."""
    meter_id, flow = await leaking(pool, 0)
    await LeakStage(pool, ZONE, SETTINGS).look_at_batch()
    await pool.execute("UPDATE meters SET q3_l_h = 40000")
    await store(pool, meter_id, flow, BEGIN_H, BEGIN_H + 60)
    await look(pool)
    state = np.frombuffer(await pool.fetchval("SELECT record FROM leak_states"), STATE)[0]
    assert (state["q3_l_h"], state["days"]) == (40_000, 32)
    assert await own_alerts(pool) == []


async def test_a_record_of_another_version_is_learned_anew_and_the_past_is_not_told_again(pool: Any) -> None:
    meter_id, flow = await leaking(pool, 0)
    flow[10 * 24 :] = homes.flows(1)[0][10 * 24 :]
    flow[20 * 24 : 20 * 24 + 5] += 900
    await pool.execute("DELETE FROM readings")
    await store(pool, meter_id, flow, 0, BEGIN_H)
    await look(pool)
    assert [alert["kind"] for alert in await own_alerts(pool)] == ["burst"]
    await pool.execute("DELETE FROM alert_events")
    await pool.execute("DELETE FROM alerts")
    await pool.execute("UPDATE leak_states SET version = 0")
    await store(pool, meter_id, flow, BEGIN_H, BEGIN_H + 24)
    await look(pool)
    assert await pool.fetch("SELECT days, version FROM leak_states") == [(30, VERSION)]
    assert await own_alerts(pool) == []
