"""Every report ends as stored, partial, duplicate or dead-lettered, and no report stops another."""

from __future__ import annotations

from typing import Any

import pytest
from nats.js import JetStreamContext

from ingest.dead_letters import Replayed, replay
from metering.alarms import Alarm
from metering.clock import now_us
from metering.model import DecodedReport, DeviceState
from tests.integration.ingest_town import (
    FIRST_S,
    HOUR_S,
    ZONE,
    accounts_hold,
    install,
    native,
    new_worker,
    open_letters,
    publish,
    refuse_a_row,
    report,
    running,
    settings,
    take_all,
    watermark_reaches,
)

VENDOR_FRAME = bytes.fromhex("681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16")


async def outcomes(pool: Any) -> list[tuple[str, str | None]]:
    rows = await pool.fetch("SELECT outcome, reason FROM reports ORDER BY received_at, report_id")
    return [(row["outcome"], row["reason"]) for row in rows]


async def readings(pool: Any) -> int:
    return await pool.fetchval("SELECT count(*) FROM readings")


async def test_repeats_are_recognised_in_the_batch_in_memory_and_in_the_database(
    js: JetStreamContext, pool: Any
) -> None:
    await install(pool, "1001")
    payload = native(7, FIRST_S, [1, 2, 3])
    async with running(new_worker(pool, js)):
        await publish(js, report("1001", payload), report("1001", payload))
        await watermark_reaches(pool, await publish(js, report("1001", payload)))
    await take_all(pool, js, await publish(js, report("1001", payload)))
    assert await outcomes(pool) == [("stored", None)] + [("duplicate", "repeat")] * 3
    assert await pool.fetchval("SELECT count(*) FROM raw_reports") == 1
    assert (await accounts_hold(pool))["duplicate"] == 3


async def test_without_a_counter_only_the_window_makes_a_repeat(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    payload, now = native(None, FIRST_S, [1]), now_us()
    await publish(js, report("1001", payload, now - 1_300_000_000))
    await publish(js, report("1001", payload, now - 650_000_000))
    last = await publish(js, report("1001", payload, now - 100_000_000))
    await take_all(pool, js, last)
    assert await outcomes(pool) == [("stored", None), ("stored", None), ("duplicate", "repeat")]
    assert await readings(pool) == 1


async def test_reports_of_a_gateway_whose_clock_is_behind_are_dated_by_the_stream(
    js: JetStreamContext, pool: Any
) -> None:
    await install(pool, "1001")
    now = now_us()
    clock_s = now // 1_000_000
    behind = report("1001", native(1, clock_s - HOUR_S, [1, 2], k11=clock_s), now - 6 * HOUR_S * 1_000_000)
    waited_s = clock_s - 3 * HOUR_S
    waited = report("1001", native(2, waited_s - HOUR_S, [0, 1], k11=waited_s), waited_s * 1_000_000)
    await publish(js, behind)
    await take_all(pool, js, await publish(js, waited))
    rows = await pool.fetch("SELECT extract(epoch FROM received_at)::float8, extra FROM reports ORDER BY received_at")
    assert rows[0][0] == waited_s
    assert clock_s <= rows[1][0] <= now_us() / 1e6
    assert all("clock" not in (row["extra"] or "") for row in rows)
    assert await pool.fetchval("SELECT extract(epoch FROM max(ts))::bigint FROM readings") == clock_s


async def test_the_same_counter_with_other_readings_is_no_repeat(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    await publish(js, report("1001", native(1, FIRST_S, [1])))
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S + HOUR_S, [2]))))
    assert await outcomes(pool) == [("stored", None)] * 2


async def test_another_value_of_the_same_key_is_a_conflict_and_the_first_stays(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    async with running(new_worker(pool, js)):
        await watermark_reaches(pool, await publish(js, report("1001", native(1, FIRST_S, [1, 2, 3]))))
        contradicting = report("1001", native(2, FIRST_S + HOUR_S, [2, 5, 6]))
        within_one_batch = report("1001", native(3, FIRST_S + 3 * HOUR_S, [7]))
        await watermark_reaches(pool, await publish(js, contradicting, within_one_batch))
    assert await outcomes(pool) == [("stored", None), ("partial", "conflict"), ("partial", "conflict")]
    rows = await pool.fetch("SELECT index_ml FROM readings ORDER BY ts")
    assert [row["index_ml"] for row in rows] == [1000, 2000, 3000, 6000]
    conflicts = await pool.fetch("SELECT stored_index_ml, other_index_ml FROM conflicts ORDER BY ts")
    assert [tuple(row) for row in conflicts] == [(3000, 5000), (6000, 7000)]
    stored = await pool.fetch("SELECT readings_stored FROM reports ORDER BY received_at, report_id")
    assert [row[0] for row in stored] == [3, 1, 0]
    await accounts_hold(pool)


async def test_late_readings_fill_the_past(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    async with running(new_worker(pool, js)):
        await watermark_reaches(pool, await publish(js, report("1001", native(5, FIRST_S + 10 * HOUR_S, [10, 11]))))
        await watermark_reaches(pool, await publish(js, report("1001", native(4, FIRST_S, list(range(12))))))
    assert await outcomes(pool) == [("stored", None)] * 2
    assert await readings(pool) == 12
    assert await pool.fetchval("SELECT last_index_ml FROM device_latest") == 11_000
    late = await pool.fetchrow("SELECT * FROM touched_spans ORDER BY span_id DESC")
    assert (late["from_ts"].timestamp(), late["to_ts"].timestamp()) == (FIRST_S, FIRST_S + 9 * HOUR_S)


async def test_readings_with_impossible_times_and_indices_are_left_out(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    await pool.execute("UPDATE meters SET register_max_ml = 99999000")
    now_s = now_us() // 1_000_000
    await publish(js, report("1001", native(1, now_s // HOUR_S * HOUR_S + 20 * HOUR_S, list(range(10)))))
    await publish(js, report("1001", native(2, FIRST_S, [99_998, 99_999, 100_000])))
    await publish(js, report("1001", native(3, FIRST_S, [200_000])))
    await take_all(pool, js, await publish(js, report("1001", native(4, FIRST_S - 10, [-5, -4]))))
    ended = await outcomes(pool)
    assert ended[1:3] == [("partial", "index_out_of_register"), ("dead_lettered", "index_out_of_register")]
    assert {outcome for outcome, _ in ended} <= {"partial", "dead_lettered"}
    await accounts_hold(pool)


@pytest.mark.parametrize("year_s", [0, 4_070_908_800, 2**62, -(2**62)])
async def test_an_impossible_clock_never_stops_the_batch(js: JetStreamContext, pool: Any, year_s: int) -> None:
    await install(pool, "1001")
    await install(pool, "1002")
    bad = report("1001", native(1, year_s, [1, 2]))
    await take_all(pool, js, await publish(js, bad, report("1002", native(1, FIRST_S, [1, 2]))))
    assert [outcome for outcome, _ in await outcomes(pool)] == ["dead_lettered", "stored"]
    await accounts_hold(pool)


async def test_a_reading_belongs_to_the_meter_that_was_installed_at_its_time(js: JetStreamContext, pool: Any) -> None:
    old = await install(pool, "1001", "861234567890123")
    swap_s = FIRST_S + 2 * HOUR_S
    await pool.execute("UPDATE installations SET valid_to = to_timestamp($1)", float(swap_s))
    new = await pool.fetchval(
        """
        WITH meter AS (INSERT INTO meters (serial) VALUES ('1002') RETURNING meter_id)
        INSERT INTO installations (service_point_id, meter_id, device_id, valid_from)
        SELECT service_point_id, meter.meter_id, device_id, valid_to FROM installations, meter RETURNING meter_id
        """
    )
    await take_all(pool, js, await publish(js, report("861234567890123", native(1, FIRST_S, [50, 51, 0, 1]))))
    rows = await pool.fetch("SELECT meter_id, index_ml FROM readings ORDER BY ts")
    assert [tuple(row) for row in rows] == [(old, 50_000), (old, 51_000), (new, 0), (new, 1000)]
    assert await outcomes(pool) == [("stored", None)]
    assert await pool.fetchval("SELECT meter_id FROM device_latest") == new


async def test_a_swap_is_noticed_while_the_worker_runs(js: JetStreamContext, pool: Any, monkeypatch: Any) -> None:
    await install(pool, "1001")
    monkeypatch.setattr("ingest.worker.FOLLOW_EVERY_S", 0.0)
    async with running(new_worker(pool, js)):
        await watermark_reaches(pool, await publish(js, report("1001", native(1, FIRST_S, [1]))))
        await pool.execute("UPDATE meters SET serial = '777'")
        await pool.execute("UPDATE installations SET valid_to = to_timestamp($1)", float(FIRST_S + 1))
        await watermark_reaches(pool, await publish(js, report("1001", native(2, FIRST_S + HOUR_S, [2]))))
    assert await outcomes(pool) == [("stored", None), ("dead_lettered", "not_installed")]


async def test_an_unknown_device_is_kept_and_replayed_once_it_is_known(js: JetStreamContext, pool: Any) -> None:
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S, [1, 2]))))
    assert await outcomes(pool) == [("dead_lettered", "unknown_device")]
    (letter,) = await open_letters(pool)
    assert (letter["device"], letter["reason"], letter["attempts"]) == ("1001", "unknown_device", 0)

    assert await replay(pool, settings(), ZONE) == Replayed(dead_lettered=1)
    assert (await open_letters(pool))[0]["attempts"] == 1
    await install(pool, "1001")
    assert await replay(pool, settings(), ZONE, reason="decode") == Replayed()
    assert await replay(pool, settings(), ZONE) == Replayed(stored=1)

    assert await open_letters(pool) == []
    assert await outcomes(pool) == [("stored", None)]
    assert await readings(pool) == 2
    assert (await accounts_hold(pool))["dead_lettered"] == 0
    assert await replay(pool, settings(), ZONE) == Replayed()


async def test_a_replay_beside_the_worker_stores_once(js: JetStreamContext, pool: Any) -> None:
    unknown = native(1, FIRST_S + 5 * HOUR_S, [5, 6, 7])
    async with running(new_worker(pool, js)):
        await watermark_reaches(pool, await publish(js, report("1001", unknown)))
        await install(pool, "1001")
        await watermark_reaches(pool, await publish(js, report("1001", native(2, FIRST_S, [1]))))
        assert await replay(pool, settings(), ZONE) == Replayed(stored=1)
        again, overlapping = report("1001", unknown), report("1001", native(3, FIRST_S + 7 * HOUR_S, [7, 8]))
        await watermark_reaches(pool, await publish(js, again, overlapping))
    assert await outcomes(pool) == [("stored", None), ("stored", None), ("duplicate", "repeat"), ("stored", None)]
    assert await readings(pool) == 5
    await accounts_hold(pool)


async def test_a_frame_that_names_another_meter_is_kept_out(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "555566667777", "861234567890123")
    await install(pool, "434045073902")
    now = now_us()
    await publish(js, report("861234567890123", VENDOR_FRAME, now, 42), report("434045073902", VENDOR_FRAME, now, 42))
    await take_all(pool, js, 1)
    rows = dict(await pool.fetch("SELECT device, reason FROM reports"))
    assert rows == {"861234567890123": "meter_mismatch", "434045073902": None}
    assert "434045073902" in await pool.fetchval("SELECT message FROM dead_letters")
    assert await replay(pool, settings(meter_mismatch="store"), ZONE) == Replayed(stored=1)
    await accounts_hold(pool)


async def test_bytes_that_are_no_envelope_do_not_stop_the_stream(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    await js.publish("up.0", b"\xff\xfe nonsense")
    await js.publish("up.0", b"")
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S, [1]))))
    reasons = [reason for _, reason in await outcomes(pool)]
    assert sorted(reasons, key=str) == [None, "envelope", "envelope"]
    assert await replay(pool, settings(), ZONE) == Replayed(dead_lettered=2)
    assert (await accounts_hold(pool))["received"] == 3


async def test_an_envelope_that_can_be_opened_later_gives_its_reports(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(pool, "1001")
    monkeypatch.setattr("metering.envelope.VERSION", 2)
    sequence = await publish(js, report("1001", native(1, FIRST_S, [1])), report("1001", b"junk"))
    monkeypatch.undo()
    await take_all(pool, js, sequence)
    assert (await accounts_hold(pool))["dead_lettered"] == 1
    monkeypatch.setattr("metering.envelope.VERSION", 2)
    assert await replay(pool, settings(), ZONE) == Replayed(stored=1, dead_lettered=1)
    assert (await accounts_hold(pool))["received"] == 2


async def test_a_decoder_that_breaks_costs_one_report(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.decoders import Decoders

    for serial in ("1001", "1002", "1003", "1004", "1005"):
        await install(pool, serial)

    sound = Decoders.decode

    def broken(self: Decoders, content_format: int, payload: bytes, received_at_s: int) -> tuple[str, DecodedReport]:
        match payload:
            case b"raise":
                raise RecursionError("deep")
            case b"uneven":
                return "x", DecodedReport(DeviceState(), [FIRST_S], [])
            case b"float":
                return "x", DecodedReport(DeviceState(), [FIRST_S], [1.5])  # type: ignore[list-item]  # wrong on purpose
            case b"wild":
                state = DeviceState(battery_mv=10**30, ecl=10**9, alarms=2**40, device_time_s=10**18)
                extra = {"nul": "a\0b", "half": "\ud800", "nan": float("nan"), "bytes": b"\x01"}
                return "x", DecodedReport(state, [FIRST_S], [1000], seq=10**30, extra=extra)
        return sound(self, content_format, payload, received_at_s)

    monkeypatch.setattr(Decoders, "decode", broken)
    payloads = (b"raise", b"uneven", b"float", b"wild", native(1, FIRST_S, [1]))
    batch = [report(f"100{n}", payload) for n, payload in enumerate(payloads, 1)]
    await take_all(pool, js, await publish(js, *batch))
    assert dict(await pool.fetch("SELECT device, coalesce(reason, outcome) FROM reports")) == {
        "1001": "decoder_error", "1002": "decoder_error", "1003": "decoder_error", "1004": "stored", "1005": "stored",
    }  # fmt: skip
    await accounts_hold(pool)


async def test_a_row_that_no_check_foresaw_is_found_and_set_aside(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(pool, "1001")
    refuse_a_row(monkeypatch)
    batch = [report("1001", native(seq, FIRST_S + seq * HOUR_S, [seq])) for seq in range(30)]
    await take_all(pool, js, await publish(js, *batch))
    assert await pool.fetchval("SELECT count(*) FROM reports WHERE outcome = 'stored'") == 29
    assert await pool.fetchval("SELECT reason FROM dead_letters") == "write_error"
    await accounts_hold(pool)
    monkeypatch.undo()
    assert await replay(pool, settings(), ZONE) == Replayed(stored=1)
    await accounts_hold(pool)


async def test_names_that_text_cannot_hold_are_kept_in_another_spelling(js: JetStreamContext, pool: Any) -> None:
    strange = report("10\x0001", native(1, FIRST_S, [1]))._replace(source="\0" * 5, received_at_us=2**62)
    await take_all(pool, js, await publish(js, strange))
    assert await outcomes(pool) == [("dead_lettered", "unknown_device")]
    await accounts_hold(pool)


async def test_the_meters_own_alarms_become_alerts_and_end(js: JetStreamContext, pool: Any) -> None:
    meter = await install(pool, "1001")
    async with running(new_worker(pool, js)):
        alarmed = report("1001", native(1, FIRST_S, [1], k10=int(Alarm.LEAK)), now_us() - 60_000_000)
        await watermark_reaches(pool, await publish(js, alarmed))
        alert = await pool.fetchrow("SELECT * FROM alerts")
        assert (alert["meter_id"], alert["kind"], alert["ended_at"]) == (meter, "meter_alarm:leak", None)
        await watermark_reaches(pool, await publish(js, report("1001", native(2, FIRST_S + HOUR_S, [2]))))
    assert await pool.fetchval("SELECT ended_at FROM alerts") is not None
