"""Campaigns over HTTP: engineers start, send and stop, everybody looks, all of it is audited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.app import create_app
from api.context import PageContext
from api.database import WritePool
from api.queries.campaigns import add_image
from api.roles import Principal, Role
from metering.settings import FirmwareSettings
from tests.api.conftest import Seed, client_of, token_for

CAMPAIGNS = "/api/v1/campaigns"
SERIALS = [f"2100000000{n:02d}" for n in (1, 2, 3)]


@pytest.fixture
async def sha256(seeded: Seed, write: WritePool, tmp_path: Path) -> str:
    key = Ed25519PrivateKey.generate()
    who = Principal("wang", Role.ENGINEER, "token")
    return await add_image(write, who, "M1 v2", b"image", key.sign(b"image"), key.public_key(), tmp_path)


@pytest.fixture
async def engineer(context: PageContext, write: WritePool) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(replace(context, firmware=FirmwareSettings(uri_base="coaps://gw")))
    token = await token_for(write, Role.ENGINEER)
    async with client_of(app, Authorization=f"Bearer {token}") as client:
        yield client


async def test_an_engineer_starts_sends_and_stops(engineer: httpx.AsyncClient, sha256: str, database_url: str) -> None:
    assert [row["name"] for row in (await engineer.get("/api/v1/firmware")).json()] == ["M1 v2"]
    wish = {"sha256": sha256, "serials": SERIALS, "waves": ["1"]}
    made = await engineer.post(CAMPAIGNS, json=wish)
    assert made.status_code == 201, made.text
    detail = made.json()
    number = detail["campaign"]["campaign_id"]
    assert detail["campaign"]["uri"] == f"coaps://gw/fw/{sha256[:16]}"
    assert [(wave["meters"], wave["told"]) for wave in detail["progress"]] == [(1, 0), (2, 0)]
    assert (await engineer.post(f"{CAMPAIGNS}/{number}/next")).json() == {"meters": 1}
    assert (await engineer.post(f"{CAMPAIGNS}/{number}/next")).status_code == 409
    stopped = (await engineer.post(f"{CAMPAIGNS}/{number}/stop", json={"why": "wrong model"})).json()
    assert (stopped["campaign"]["state"], stopped["progress"][0]["other"]) == ("stopped", 1)
    assert (await engineer.post(f"{CAMPAIGNS}/{number}/stop")).status_code == 409
    assert [row["why"] for row in (await engineer.get(CAMPAIGNS)).json()] == ["wrong model"]
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT action FROM audit_log WHERE action LIKE 'campaign.%' ORDER BY at")
    await connection.close()
    assert [row["action"] for row in rows] == ["campaign.start", "campaign.wave", "campaign.stop"]


async def test_others_only_look(context: PageContext, write: WritePool, sha256: str) -> None:
    wish = {"sha256": sha256, "serials": SERIALS}
    for role in (Role.VIEWER, Role.OPERATOR):
        token = await token_for(write, role)
        async with client_of(create_app(context), Authorization=f"Bearer {token}") as client:
            assert (await client.get(CAMPAIGNS)).json() == []
            for path in (CAMPAIGNS, f"{CAMPAIGNS}/1/next", f"{CAMPAIGNS}/1/stop"):
                assert (await client.post(path, json=wish)).status_code == 403


async def test_what_cannot_be_is_refused(
    engineer: httpx.AsyncClient, context: PageContext, write: WritePool, sha256: str
) -> None:
    for wrong, status in (
        ({"sha256": "ab" * 32, "serials": SERIALS}, 404), ({"sha256": sha256, "serials": ["none"]}, 404),
        ({"sha256": "x", "serials": SERIALS}, 422), ({"sha256": sha256, "serials": []}, 422),
        ({"sha256": sha256, "serials": SERIALS, "waves": ["0"]}, 400),
    ):  # fmt: skip
        assert (await engineer.post(CAMPAIGNS, json=wrong)).status_code == status
    assert (await engineer.get(f"{CAMPAIGNS}/99")).status_code == 404
    token = await token_for(write, Role.ADMINISTRATOR)
    async with client_of(create_app(context), Authorization=f"Bearer {token}") as client:
        answer = await client.post(CAMPAIGNS, json={"sha256": sha256, "serials": SERIALS})
        assert (answer.status_code, "uri_base" in answer.text) == (409, True)
