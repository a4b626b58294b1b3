"""A small utility in plain SQL, and the pools of the api on it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from api.accounts import create_token, create_user, ensure_first_administrator
from api.app import create_app
from api.auth import Auth
from api.context import PageContext
from api.database import ReadPool, WritePool, open_read_pool, open_write_pool
from api.heartbeats import Heartbeats
from api.live import LiveFigures
from api.path import PathReader
from api.roles import Role
from api.stream import InFlightReader
from metering.credentials import MasterKeys
from metering.settings import ApiSettings, UtilitySettings

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)  # noon in Huludao
TODAY = date(2026, 3, 10)
SILENCE = timedelta(hours=25)
METERS = 12


def report_id_at(at: datetime, number: int) -> uuid.UUID:
    """Shaped as the gateway mints them: 48 bits of milliseconds first."""
    return uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | number)


@dataclass(frozen=True)
class Seed:
    meter_ids: list[int]
    alert_ids: list[int]
    report_ids: list[uuid.UUID]


async def seed(url: str) -> Seed:
    """Meters 210000000001.. in two zones; number 3 silent, 4 never heard of, 5 disabled, 6 removed; two days of hourly
    readings for the first; alerts of three kinds; reports of every outcome, with accounting to match."""
    connection = await asyncpg.connect(url)
    try:
        return await _seed(connection)
    finally:
        await connection.close()


async def _seed(c: asyncpg.Connection) -> Seed:
    city = await c.fetchval("INSERT INTO zones (code, name, kind) VALUES ('HLD', '葫芦岛', 'city') RETURNING zone_id")
    dma = await c.fetchval(
        "INSERT INTO zones (parent_id, code, name) VALUES ($1, 'DMA-1', '龙港一区') RETURNING zone_id", city
    )
    installed = [await _meter(c, n, dma if n % 2 else city) for n in range(1, METERS + 1)]
    meter_ids, devices = [list(column) for column in zip(*installed, strict=True)]
    await _water(c, meter_ids[0])
    reports = await _reports(c, meter_ids[0], devices[0])
    return Seed(meter_ids, await _alerts(c, meter_ids), reports)


async def _meter(c: asyncpg.Connection, n: int, zone: int) -> tuple[int, str]:
    """Id of the meter and name of its device."""
    point = await c.fetchval(
        "INSERT INTO service_points (zone_id, address, customer) VALUES ($1, $2, $3) RETURNING service_point_id",
        zone, f"龙港区 100%_{n} 号", f"=cmd|{n}",
    )  # fmt: skip
    meter = await c.fetchval(
        "INSERT INTO meters (serial, maker) VALUES ($1, 'maker') RETURNING meter_id", f"2100000000{n:02d}"
    )
    imei = f"8612345678901{n:02d}"
    device = await c.fetchval(
        "INSERT INTO devices (device, imei, enabled, plain_sources) VALUES ($1, $1, $2, '{127.0.0.0/8}')"
        " RETURNING device_id",
        imei, n != 5,
    )  # fmt: skip
    await c.execute(
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, valid_to)"
        " VALUES ($1, $2, $3, '2026-01-01', $4)",
        point, meter, device, datetime(2026, 2, 1, tzinfo=UTC) if n == 6 else None,
    )  # fmt: skip
    if n not in (4, 6):
        at = NOW - (timedelta(hours=30) if n == 3 else timedelta(minutes=n))
        await c.execute(
            "INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, last_ts,"
            " last_index_ml, battery_mv, rsrp_ddbm, alarms) VALUES ($1, $2, $3, $4, $3, $5, 3600, -1087, $6)",
            device, meter, at, report_id_at(at, n), 1_000_000 + n, 1 if n == 1 else 0,
        )  # fmt: skip
    return meter, imei


ALERTS = (
    ("continuous_flow", "warning", "open"),
    ("silent", "info", "acknowledged"),
    ("meter_alarm:leak", "critical", "open"),
    ("silent", "info", "resolved"),
)


async def _alerts(c: asyncpg.Connection, meter_ids: list[int]) -> list[int]:
    return [
        await c.fetchval(
            "INSERT INTO alerts (kind, severity, state, meter_id, service_point_id, started_at, raised_at,"
            " last_seen_at, rate_ml_h, evidence) VALUES ($1, $2, $3, $4, $4, $5, $5, $5, 12000, '{\"hours\": 24}')"
            " RETURNING alert_id",
            *alert, meter_ids[0 if n != 1 else 2], NOW - timedelta(hours=n),
        )
        for n, alert in enumerate(ALERTS)
    ]  # fmt: skip


async def _water(c: asyncpg.Connection, meter: int) -> None:
    midnight = datetime(2026, 3, 8, tzinfo=ZONE)
    await c.executemany(
        "INSERT INTO readings (meter_id, ts, kind, index_ml) VALUES ($1, $2, 0, $3)",
        [(meter, midnight + timedelta(hours=h), 1_000_000 + 1000 * h) for h in range(49)],
    )
    await c.executemany(
        "INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, reasons,"
        " complete, readings) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 25)",
        [
            (meter, date(2026, 2, 28), 900_000, 1_000_000, 100_000, "interpolated", ["gap"], True),
            (meter, date(2026, 3, 8), 1_000_000, 1_024_000, 24_000, "measured", [], True),
            (meter, date(2026, 3, 9), 1_024_000, 1_048_000, 24_000, "measured", [], True),
            (meter, TODAY, 1_048_000, 1_050_000, 2_000, "measured", [], False),
        ],
    )


async def _reports(c: asyncpg.Connection, meter: int, device: str) -> list[uuid.UUID]:
    ids = []
    for n, outcome in enumerate(["stored", "stored", "partial", "duplicate", "dead_lettered", "stored", "stored"]):
        at = NOW - timedelta(minutes=10 * n)
        ids.append(report_id_at(at, n))
        await c.execute(
            "INSERT INTO reports (received_at, report_id, device, meter_id, door, authentication, source,"
            " content_format, payload_bytes, decoder, outcome, identity, readings, readings_stored, battery_mv, extra)"
            " VALUES ($1, $2, $3, $4, 'coap', 'claimed', '127.0.0.1:40000', 60, 3, 'cbor', $5, $6, 24, 24, 3600, $7)",
            at,
            ids[-1],
            device,
            meter,
            outcome,
            n,
            '{"99": "kept"}' if n == 0 else None,
        )
        await c.execute("INSERT INTO raw_reports VALUES ($1, $2, $3)", at, ids[-1], b"\xa1\x00\x01")
        if outcome == "dead_lettered":
            await c.execute(
                "INSERT INTO dead_letters (report_id, received_at, device, door, authentication, source,"
                " content_format, payload, reason, message) VALUES ($1, $2, $3, 'coap', 'claimed', '127.0.0.1:1', 60,"
                " '\\xa100', 'not_cbor', 'ends too early')",
                ids[-1],
                at,
                device,
            )
    await c.execute(
        "INSERT INTO accounting (door, day, received, stored, partial, duplicate, dead_lettered, repeats)"
        " VALUES ('coap', $1, 7, 4, 1, 1, 1, 3), ('coap', $2, 5, 5, 0, 0, 0, 0)",
        TODAY,
        date(2026, 3, 1),
    )
    return ids


@pytest.fixture
async def seeded(database_url: str) -> Seed:
    return await seed(database_url)


@pytest.fixture
async def read(database_url: str) -> AsyncIterator[ReadPool]:
    pool = await open_read_pool(database_url, 4)
    yield pool
    await pool.close()


@pytest.fixture
async def write(database_url: str) -> AsyncIterator[WritePool]:
    pool = await open_write_pool(database_url, 2)
    yield pool
    await pool.close()


@pytest.fixture(scope="session", autouse=True)
def _cheap_hashes() -> Iterator[None]:
    """Passwords of tests guard nothing; hashing them for good would take most of the time of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.passwords._hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


PASSWORD = "first-password-of-tests"
MASTER_KEYS = MasterKeys({0: secrets.token_bytes(32)})
ORIGIN = "http://testserver"


@pytest.fixture
async def context(read: ReadPool, write: WritePool) -> PageContext:
    """With an administrator `admin` whose password is PASSWORD; no stream."""
    await ensure_first_administrator(write, PASSWORD)
    stream = InFlightReader(read, 1)
    return PageContext(
        read=read,
        write=write,
        settings=ApiSettings(),
        utility=UtilitySettings(),
        zone=ZONE,
        silence_after=SILENCE,
        auth=Auth(read, write, 3600),
        stream=stream,
        path=PathReader(read, stream, Heartbeats(), ZONE, lambda: NOW),
        live=LiveFigures(read, zone=ZONE, silence_after=SILENCE, now=lambda: NOW),
        session_secret="of-tests",
        now=lambda: NOW,
        master_keys=MASTER_KEYS,
    )


@pytest.fixture
def app(context: PageContext) -> FastAPI:
    return create_app(context)


def client_of(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN, headers=headers)


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def token_for(write: WritePool, role: Role) -> str:
    """The token of a new user of that role."""
    if role is not Role.ADMINISTRATOR:
        await create_user(write, role.label, role, PASSWORD, actor="test")
    login = "admin" if role is Role.ADMINISTRATOR else role.label
    return await create_token(write, f"of-{role.label}", login, role, actor="test")


async def _as(app: FastAPI, write: WritePool, role: Role) -> httpx.AsyncClient:
    return client_of(app, Authorization=f"Bearer {await token_for(write, role)}")


@pytest.fixture
async def viewer(app: FastAPI, write: WritePool) -> AsyncIterator[httpx.AsyncClient]:
    async with await _as(app, write, Role.VIEWER) as client:
        yield client


@pytest.fixture
async def operator(app: FastAPI, write: WritePool) -> AsyncIterator[httpx.AsyncClient]:
    async with await _as(app, write, Role.OPERATOR) as client:
        yield client


@pytest.fixture
async def engineer(app: FastAPI, write: WritePool) -> AsyncIterator[httpx.AsyncClient]:
    async with await _as(app, write, Role.ENGINEER) as client:
        yield client


@pytest.fixture
async def administrator(app: FastAPI, write: WritePool) -> AsyncIterator[httpx.AsyncClient]:
    async with await _as(app, write, Role.ADMINISTRATOR) as client:
        yield client
