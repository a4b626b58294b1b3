"""A small town in the database, as ingest would have left it: sixty meters, a fortnight of days, some trouble."""

from __future__ import annotations

import json

import asyncpg

from api.passwords import hash_password
from tests.browser.leaks import seed_leaks

PASSWORD = "Bohai-Sea-2026!"
FIRST_SERIAL = "21060100000001"
"""Also the number of its meter, device and service point, which is 1."""
GAP_SERIAL = "21060100000005"
LEAKING_SERIAL = "21060100000007"
TAMPERED_SERIAL = "21060100000012"
HOSTILE_TEXT = "<img src=x onerror=alert(1)>{{ 7*7 }}"
STRANGER = "861107031288888"
STRANGE_SERIAL = "21060100009999"
DEAD_PAYLOAD = "6810aa5512345678deadbeef"
PAYLOAD = (
    "ac0001011912670281841a6955b900190e101a0001e240970c00000003182d1850160a050007181e0c0400091829183c1821120602030304"
    "190e1c0539043e06182d07010818b609000a000b1a69570a7f"
)

_WHERE = """
INSERT INTO zones (code, name, kind) VALUES ('LG', '龙港区', 'city');
INSERT INTO zones (parent_id, code, name)
    SELECT zone_id, d.code, d.name
    FROM zones z, (VALUES ('LG-01', '滨海路分区'), ('LG-02', '望海寺分区')) AS d (code, name)
    WHERE z.code = 'LG';
INSERT INTO service_points (zone_id, address, latitude, longitude, customer, critical)
    SELECT (SELECT zone_id FROM zones WHERE code = CASE WHEN n % 2 = 0 THEN 'LG-01' ELSE 'LG-02' END),
        '滨海路 ' || (n / 6 + 1) || ' 号 ' || (n % 6 + 1) || ' 单元 ' || (n * 7 % 18 + 101) || ' 室',
        40.71 + n * 0.0004, 120.84 + n * 0.0006, '', n = 12
    FROM generate_series(1, 60) n;
INSERT INTO meters (serial, maker, model, dn_mm, q3_l_h)
    SELECT '2106010000' || lpad(n::text, 4, '0'), '宁波水表', 'LXSZ-NB', CASE WHEN n % 10 = 0 THEN 40 ELSE 15 END,
        CASE WHEN n % 10 = 0 THEN 16000 ELSE 2500 END
    FROM generate_series(1, 60) n;
INSERT INTO devices (device, imei, plain_sources, firmware)
    SELECT '8611070312' || lpad(n::text, 5, '0'), '8611070312' || lpad(n::text, 5, '0'), '{127.0.0.0/8}', 'v2.4.1'
    FROM generate_series(1, 60) n;
INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, start_index_ml)
    SELECT n, n, n, now() - INTERVAL '400 days', 0 FROM generate_series(1, 60) n;
"""

_WATER = """
CREATE TEMP TABLE hours AS
    SELECT n AS meter_id, t AS ts,
        ((CASE WHEN n = 7 THEN 26000 ELSE 0 END) + (abs(hashint4((n * 1000 + h)::int)) % 100) * CASE
            WHEN extract(hour FROM t AT TIME ZONE 'Asia/Shanghai') BETWEEN 6 AND 8 THEN 550
            WHEN extract(hour FROM t AT TIME ZONE 'Asia/Shanghai') BETWEEN 18 AND 21 THEN 680
            WHEN extract(hour FROM t AT TIME ZONE 'Asia/Shanghai') BETWEEN 9 AND 17 THEN 160
            ELSE (CASE WHEN abs(hashint4((n * 777 + h)::int)) % 5 = 0 THEN 20 ELSE 0 END) END
        )::bigint * CASE WHEN n % 10 = 0 THEN 6 ELSE 1 END AS step_ml
    FROM generate_series(1, 58) n,
        LATERAL (SELECT h, date_trunc('hour', now()) - h * INTERVAL '1 hour' AS t FROM generate_series(0, 24 * 40) h) g
    WHERE NOT (n = 5 AND h BETWEEN 60 AND 95);
INSERT INTO readings (meter_id, ts, kind, index_ml)
    SELECT meter_id, ts, 0, 150000000 + meter_id * 7654321 + sum(step_ml) OVER (PARTITION BY meter_id ORDER BY ts)
    FROM hours;
INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, reasons, complete,
        readings)
    SELECT meter_id, day, min(index_ml), max(index_ml), max(index_ml) - min(index_ml),
        CASE WHEN count(*) < 20 AND day < (now() AT TIME ZONE 'Asia/Shanghai')::date THEN 'interpolated'
            ELSE 'measured' END,
        CASE WHEN count(*) < 20 AND day < (now() AT TIME ZONE 'Asia/Shanghai')::date THEN ARRAY['gap']
            ELSE ARRAY[]::text[] END,
        day < (now() AT TIME ZONE 'Asia/Shanghai')::date, count(*)
    FROM (SELECT meter_id, (ts AT TIME ZONE 'Asia/Shanghai')::date AS day, index_ml FROM readings) r
    GROUP BY meter_id, day;
"""

_DISTRICTS = """
UPDATE reports SET pressure_kpa = 260 + (device_seq % 7) * 9 WHERE meter_id = 1;
UPDATE zones SET mains_m = 12000, connections = 900, pressure_m = 32 WHERE code = 'LG-01';
INSERT INTO zone_hours (zone_id, hour, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, meters, measured)
    SELECT 2, t, 9000000 + 3000000 * sin(h / 24.0 * 6.283) + CASE WHEN h < 40 THEN 2500000 ELSE 0 END, 0,
        7500000 + 2900000 * sin(h / 24.0 * 6.283), CASE WHEN h < 6 THEN 900000 ELSE 20000 END,
        CASE WHEN h < 6 THEN 800000 ELSE 150000 END, 30, CASE WHEN h < 6 THEN 24 ELSE 30 END
    FROM (SELECT h, date_trunc('hour', now()) - h * INTERVAL '1 hour' AS t FROM generate_series(2, 24 * 60) h) hours;
INSERT INTO zone_days (zone_id, day, inlet_ml, outlet_ml, customers_ml, estimated_ml, sigma_ml, measured_share,
        night_inflow_ml_h, night_use_ml_h, night_sigma_ml_h)
    SELECT zone_id, (hour AT TIME ZONE 'Asia/Shanghai')::date, sum(inlet_ml), sum(outlet_ml), sum(customers_ml),
        sum(estimated_ml), 1200000, 0.98, min(inlet_ml), min(customers_ml), 150000
    FROM zone_hours GROUP BY 1, 2;
INSERT INTO alerts (kind, severity, zone_id, started_at, raised_at, last_seen_at, rate_ml_h, loss_ml, evidence)
    SELECT 'district_leak', 'critical', 2, now() - INTERVAL '40 hours', now() - INTERVAL '35 hours',
        now() - INTERVAL '2 hours', 2500000, 95000000, jsonb_build_object('rule', 'balance', 'rate_ml_h', 2500000,
            'rate_error_ml_h', 220000, 'usual_inflow_ml_h', 9000000, 'times_threshold', 3.4, 'rises', 1,
            'start_earliest_s', extract(epoch FROM now() - INTERVAL '41 hours')::bigint,
            'start_latest_s', extract(epoch FROM now() - INTERVAL '39 hours')::bigint);
"""

_REPORTS = """
INSERT INTO reports (received_at, report_id, device, device_id, meter_id, door, authentication, source, content_format,
        payload_bytes, decoder, outcome, identity, device_seq, first_ts, last_ts, readings, readings_stored, battery_mv,
        rsrp_ddbm, snr_ddb, ecl, cell_id, temperature_dc, valve, alarms, device_time, extra)
    SELECT at, gen_random_uuid(), d.device, d.device_id, d.device_id, 'coap', 'claimed', '127.0.0.1:49152', 60,
        octet_length(decode($1, 'hex')), 'nbwater-cbor', 'stored', d.device_id * 100 + k, 4711 - k,
        at - INTERVAL '24 hours', at - INTERVAL '1 hour', 24, 24, 3620 - (d.device_id * 11 % 400)::int,
        -950 - (d.device_id * 53 % 400)::int, 90 - (d.device_id * 17 % 180)::int, (d.device_id % 7 = 0)::int, 21860417,
        182, 0, CASE WHEN d.device_id = 12 THEN 8 ELSE 0 END, at - INTERVAL '2 seconds',
        CASE WHEN d.device_id = 1 THEN jsonb_build_object('note', $2::text) END
    FROM devices d, generate_series(0, 6) k,
        LATERAL (SELECT now() - k * INTERVAL '1 day' - d.device_id * INTERVAL '61 seconds' AS at) g
    WHERE d.device_id <= 58
"""

_AFTER_REPORTS = """
INSERT INTO raw_reports (received_at, report_id, payload)
    SELECT received_at, report_id, decode($1, 'hex') FROM reports
"""

_LATEST = """
UPDATE reports SET received_at = received_at - INTERVAL '4 days' WHERE device_id = 9;
INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, last_ts, last_index_ml, battery_mv,
        rsrp_ddbm, snr_ddb, ecl, cell_id, temperature_dc, valve, alarms)
    SELECT DISTINCT ON (r.device_id) r.device_id, r.meter_id, r.received_at, r.report_id, l.ts, l.index_ml,
        r.battery_mv, r.rsrp_ddbm, r.snr_ddb, r.ecl, r.cell_id, r.temperature_dc, r.valve, r.alarms
    FROM reports r JOIN (
        SELECT DISTINCT ON (meter_id) meter_id, ts, index_ml FROM readings ORDER BY meter_id, ts DESC
    ) l USING (meter_id)
    ORDER BY r.device_id, r.received_at DESC;
INSERT INTO accounting (door, day, received, stored, partial, duplicate, dead_lettered, repeats)
    SELECT door, (received_at AT TIME ZONE 'Asia/Shanghai')::date, count(*), count(*), 0, 0, 0, count(*) / 20
    FROM reports GROUP BY 1, 2;
"""


async def seed(database_url: str) -> None:
    """Fills an empty, migrated database, and makes a user per role, all with `PASSWORD`."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_WHERE)
        await connection.execute(_WATER)
        await connection.execute(_REPORTS, PAYLOAD, HOSTILE_TEXT)
        await connection.execute(_AFTER_REPORTS, PAYLOAD)
        await connection.execute(_LATEST)
        await connection.execute(_DISTRICTS)
        await connection.execute("UPDATE service_points SET customer = $1 WHERE service_point_id = 1", HOSTILE_TEXT)
        await _alerts(connection)
        await seed_leaks(connection)
        await _dead_letters(connection)
        await _keys(connection)
        await _strangers(connection)
        await _commands(connection)
        await _campaigns(connection)
        await people(connection)
    finally:
        await connection.close()


async def seed_people(database_url: str) -> None:
    """Only the users, each with `PASSWORD`."""
    connection = await asyncpg.connect(database_url)
    try:
        await people(connection)
    finally:
        await connection.close()


async def people(connection: asyncpg.Connection) -> None:
    password = await hash_password(PASSWORD)
    for role in ("administrator", "engineer", "operator", "viewer"):
        await connection.execute(
            "INSERT INTO users (login, password_hash, role) VALUES ($1, $2, $3)", f"test-{role}", password, role
        )


async def _keys(connection: asyncpg.Connection) -> None:
    """The first device has a key of each kind: one that has ended, one that is being replaced, one that is valid.
    It has moved from one push product to another."""
    await connection.execute(
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by, replaces_id, expires_at, revoked_at,"
        " revoked_why) VALUES (1, 2, 'first-psk', 'sealed', 'li', NULL, NULL, now(), 'replaced'),"
        " (1, 1, '\\x0102', 'sealed', 'li', NULL, now() + INTERVAL '9 days', NULL, NULL),"
        " (1, 1, '\\x0304', 'sealed', 'wang', 2, NULL, NULL, NULL)"
    )
    await connection.execute(
        "INSERT INTO pusher_bindings (device_id, product, bound_by, ended_at, ended_by, ended_why)"
        " VALUES (1, 'east', 'import', now(), 'zhao', 'moved'), (1, 'west', 'zhao', NULL, NULL, NULL)"
    )


async def _strangers(connection: asyncpg.Connection) -> None:
    await connection.executemany(
        "INSERT INTO strangers (name, door, source, reason, knocks)"
        " VALUES ($1, 'coap', '10.9.8.7', 'unknown_device', 4)",
        [(STRANGER,), (STRANGE_SERIAL,), (HOSTILE_TEXT,)],
    )


async def _alerts(connection: asyncpg.Connection) -> None:
    found = [
        (7, "continuous_flow", "critical", 31, 26_000, 806_000, {
            "rules": ["flow_24h"], "hours": 24, "measured_hours": 23, "threshold_ml_h": 1000,
            "minimum_ml_h": 26_000, "volume_ml": 889_000, "from": "2026-01-01T00:00:00+00:00",
            "to": "2026-01-02T00:00:00+00:00", "hourly_ml": [26_000 + 900 * (h % 9) for h in range(23)] + [None],
        }),
        (9, "silent", "warning", 96, None, None, {
            "last_report_at": "2026-01-01T12:00:00+00:00", "installed_at": None, "silence_after_h": 25.0,
        }),
        (12, "meter_alarm:magnetic_tamper", "warning", 5, None, None, {
            "alarm": "magnetic_tamper", "bit": 3, "report_id": "00000000-0000-7000-8000-000000000000",
            "reported_at": "2026-01-01T23:59:59+00:00",
        }),
    ]  # fmt: skip
    for meter_id, kind, severity, hours, rate, loss, evidence in found:
        await connection.execute(
            "INSERT INTO alerts (kind, severity, meter_id, service_point_id, started_at, raised_at, last_seen_at,"
            " rate_ml_h, loss_ml, evidence) VALUES ($1, $2, $3, $3, now() - $4 * INTERVAL '1 hour',"
            " now() - INTERVAL '1 hour', now() - INTERVAL '10 minutes', $5, $6, $7::jsonb)",
            kind, severity, meter_id, hours, rate, loss, json.dumps(evidence),
        )  # fmt: skip


async def _commands(connection: asyncpg.Connection) -> None:
    """One that waits for a second person, one that is done, one that a platform did not give back."""
    for command_id, kind, arguments, state, reason in (
        (1, 2, '{"0": 1}', "awaiting_approval", HOSTILE_TEXT),
        (2, 4, "{}", "confirmed", ""),
        (3, 2, '{"0": 0}', "cancelled", ""),
    ):
        await connection.execute(
            "INSERT INTO commands (command_id, device_id, meter_id, kind, arguments, state, reason, filed_by,"
            " expires_at)"
            " SELECT $1, device_id, meter_id, $2, $3::jsonb, $4, $5, 'wang', now() + INTERVAL '1 day'"
            " FROM installations WHERE meter_id = 1 AND valid_to IS NULL",
            command_id, kind, arguments, state, reason,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO command_events (command_id, state, actor) VALUES ($1, $2, 'wang')", command_id, state
        )
    await connection.execute(
        "INSERT INTO command_events (command_id, state, actor) VALUES (3, 'not_recalled', 'iotda')"
    )


async def _campaigns(connection: asyncpg.Connection) -> None:
    """One of two waves, the first on its way."""
    await connection.execute(
        "INSERT INTO firmware_images (sha256, name, size_bytes, signature, added_by)"
        " VALUES (sha256('image'), $1, 5, 'signature', 'wang')",
        HOSTILE_TEXT,
    )
    await connection.execute(
        "INSERT INTO campaigns (sha256, uri, state, wave, waves, stop_share, stop_after, started_by)"
        " VALUES (sha256('image'), 'coaps://gw/fw/12', 'running', 1, 2, 0.05, 3, 'wang')"
    )
    await connection.execute("INSERT INTO campaign_meters SELECT 1, meter_id, meter_id FROM meters WHERE meter_id < 3")
    await connection.execute("UPDATE commands SET campaign_id = 1 WHERE command_id = 2")


async def _dead_letters(connection: asyncpg.Connection) -> None:
    for number, (reason, message) in enumerate(
        (("unknown_device", "no device is called 861107031299999"), ("checksum", f"sum is 5a, not 3c {HOSTILE_TEXT}"))
    ):
        await connection.execute(
            "INSERT INTO dead_letters (report_id, received_at, device, door, authentication, source, content_format,"
            " payload, reason, message) VALUES (gen_random_uuid(), now() - $1 * INTERVAL '7 minutes',"
            " '861107031299999', 'coap', 'claimed', '127.0.0.1:50001', 42, decode($2, 'hex'), $3, $4)",
            number + 1, DEAD_PAYLOAD, reason, message,
        )  # fmt: skip
