"""What each program's role may do: all it must, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from ingest.schema.migrate import migrate

SECRET = {"users", "sessions", "api_tokens", "audit_log"}
REGISTRY = {"zones", "service_points", "meters", "devices", "installations"}
INTAKE = {
    "reports", "raw_reports", "readings", "conflicts", "dead_letters", "device_latest", "watermarks", "restore_points",
    "accounting", "alerts",
}  # fmt: skip
OTHER = {
    "outbox", "alert_events", "schema_migrations", "touched_spans", "settled_days", "corrections", "replays",
}  # fmt: skip
SEALED = {"credentials"}
DISTRICTS = {"zone_flows", "zone_hours", "zone_days", "late_zone_hours"}
DOORS = {
    "strangers", "commands", "command_events", "command_outbox", "firmware_images", "campaigns", "campaign_meters",
    "pusher_bindings",
}  # fmt: skip
BILLING = {"amendments", "day_edits", "billing_periods", "billing_entries", "billing_corrections", "alert_meters"}
LEAKS = {"leak_states", "leak_checkpoints", "leak_due", "alert_suppressions"}
ALL_TABLES = SECRET | REGISTRY | INTAKE | OTHER | SEALED | DOORS | BILLING | DISTRICTS | LEAKS
SHOWN = ALL_TABLES - SECRET - SEALED
READ = frozenset({"SELECT"})
WRITE = frozenset({"INSERT", "UPDATE", "DELETE"})
APPEND = frozenset({"INSERT"})
REMOVE = frozenset({"DELETE"})

EXPECTED: dict[str, dict[str, frozenset[str]]] = {
    "nbwater_ingest": dict.fromkeys(SHOWN, READ)
    | dict.fromkeys(INTAKE, READ | WRITE)
    | {"alert_events": READ | APPEND, "touched_spans": READ | APPEND, "outbox": READ | REMOVE}
    | {"credentials": READ, "strangers": READ | WRITE, "command_events": READ | APPEND}
    | {"commands": READ | frozenset({"UPDATE"}), "command_outbox": READ | APPEND | REMOVE},
    "nbwater_settlement": dict.fromkeys(SHOWN, READ)
    | dict.fromkeys(["alerts", "zone_hours", "zone_days"], READ | frozenset({"INSERT", "UPDATE"}))
    | dict.fromkeys(["settled_days", "leak_states", "leak_checkpoints", "leak_due", "late_zone_hours"], READ | WRITE)
    | dict.fromkeys(["touched_spans", "reports", "raw_reports"], READ | REMOVE)
    | {"alert_events": READ | APPEND, "alert_meters": READ | APPEND | REMOVE},
    "nbwater_api": dict.fromkeys(SHOWN, READ)
    | dict.fromkeys(SECRET, READ | WRITE)
    | {"audit_log": READ | APPEND, "alert_events": READ | APPEND, "command_events": READ | APPEND}
    | {"firmware_images": READ | APPEND, "campaign_meters": READ | APPEND}
    | dict.fromkeys(["amendments", "day_edits", "billing_entries", "alert_suppressions"], READ | APPEND)
    | {"billing_periods": READ | APPEND | REMOVE}
    | dict.fromkeys(["commands", "campaigns"], READ | frozenset({"INSERT", "UPDATE"})),
    "nbwater_reader": dict.fromkeys(SHOWN, READ),
}


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


async def test_every_table_stands_in_the_rights(connection: asyncpg.Connection) -> None:
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in tables} == ALL_TABLES, "name the new table here and in rights.sql"


async def test_ingest_may_make_temporary_tables_where_nobody_may(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    await migrate(database_url)
    asked = "SELECT has_database_privilege($1, current_database(), 'TEMPORARY')"
    assert [role for role in EXPECTED if await connection.fetchval(asked, role)] == ["nbwater_ingest"]
    await connection.close()


@pytest.mark.parametrize("role", EXPECTED)
async def test_a_role_has_just_its_rights(connection: asyncpg.Connection, role: str) -> None:
    rows = await connection.fetch(
        "SELECT tablename, privilege FROM pg_tables, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', "
        "'REFERENCES', 'TRIGGER']) AS privilege "
        "WHERE schemaname = 'public' AND has_table_privilege($1, format('public.%I', tablename), privilege)",
        role,
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["tablename"], set()).add(row["privilege"])
    assert found == EXPECTED[role]


async def test_ingest_does_its_work(connection: asyncpg.Connection) -> None:
    await connection.execute("INSERT INTO devices (device) VALUES ('861')")
    await connection.execute("SET ROLE nbwater_ingest")
    await connection.execute(
        "INSERT INTO readings VALUES (1, '2026-01-01Z', 0, 5), (1, '2026-01-02Z', 0, 6) ON CONFLICT DO NOTHING"
    )
    await connection.execute("INSERT INTO touched_spans (meter_id, from_ts, to_ts) VALUES (1, now(), now())")
    await connection.execute(
        "INSERT INTO alerts (kind, severity, started_at, raised_at, last_seen_at, evidence) "
        "VALUES ('silent', 'info', now(), now(), now(), '{}')"
    )
    assert await connection.fetchval("SELECT last_value FROM outbox_outbox_id_seq") == 1
    assert await connection.fetchval("DELETE FROM outbox RETURNING device") == "861"
    for forbidden in ("SELECT * FROM users", "UPDATE devices SET has_key = true", "DELETE FROM alert_events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    await connection.execute("RESET ROLE")


async def test_api_does_its_work(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO alerts (kind, severity, started_at, raised_at, last_seen_at, evidence) "
        "VALUES ('silent', 'info', now(), now(), now(), '{}')"
    )
    await connection.execute("SET ROLE nbwater_api")
    await connection.fetch("SELECT alert_id FROM alerts FOR UPDATE")
    await connection.execute("UPDATE alerts SET state = 'resolved', closed_at = now()")
    await connection.execute("INSERT INTO alert_events (alert_id, to_state, actor) VALUES (1, 'resolved', 'wang')")
    await connection.execute("INSERT INTO users (login, password_hash, role) VALUES ('wang', 'x', 'operator')")
    await connection.execute("INSERT INTO audit_log (actor, action, object) VALUES ('wang', 'login', 'wang')")
    await connection.execute(
        "INSERT INTO zones (code, name) VALUES ('D', 'D') ON CONFLICT (code) DO UPDATE SET name = EXCLUDED.name"
    )
    await connection.execute("UPDATE zones SET parent_id = NULL")
    await connection.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from) "
        "SELECT zone_id, meter_id, 'in', now() FROM zones, meters "
        "ON CONFLICT (zone_id, meter_id, valid_from) DO UPDATE SET direction = EXCLUDED.direction"
    )
    await connection.execute("UPDATE service_points SET longitude = 120, latitude = 40")
    for forbidden in (
        "UPDATE alerts SET evidence = '{}'",
        "UPDATE service_points SET zone_id = NULL",
        "DELETE FROM zone_flows",
        "DELETE FROM audit_log",
        "INSERT INTO readings VALUES (1, now(), 0, 5)",
        "UPDATE settled_days SET consumption_ml = 0",
        "UPDATE devices SET plain_sources = '{0.0.0.0/0}'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    await connection.execute("RESET ROLE")


async def test_whoever_may_change_a_device_has_it_announced(connection: asyncpg.Connection) -> None:
    await connection.execute("INSERT INTO devices (device) VALUES ('861')")
    await connection.execute("GRANT UPDATE (enabled) ON devices TO nbwater_reader")
    await connection.execute("SET ROLE nbwater_reader")
    await connection.execute("UPDATE devices SET enabled = false WHERE device = '861'")
    await connection.execute("RESET ROLE")
    await connection.execute("REVOKE UPDATE (enabled) ON devices FROM nbwater_reader")
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 2


async def test_a_right_given_by_hand_is_taken_back(connection: asyncpg.Connection, any_database_url: str) -> None:
    await connection.execute("GRANT SELECT ON users TO nbwater_reader")
    await connection.close()
    await migrate(any_database_url)
    connection = await asyncpg.connect(any_database_url)
    assert not await connection.fetchval("SELECT has_table_privilege('nbwater_reader', 'users', 'SELECT')")
    await connection.close()
