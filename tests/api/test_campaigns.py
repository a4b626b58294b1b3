"""Firmware campaigns: signed images only, waves, and the rule that stops them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.campaign_rules import Tally, check_next, must_stop, waves_of
from api.database import ReadPool, WritePool
from api.firmware_signature import load_key
from api.queries.campaigns import (
    Start,
    add_image,
    get_campaign,
    get_detail,
    list_campaigns,
    next_wave,
    start_campaign,
    stop_campaign,
)
from api.roles import ForbiddenError, Principal, Role
from ingest.commands.campaigns import stop_failing
from metering.errors import ConflictError, NotFoundError, RequestError, SettingsError
from metering.settings import CommandSettings
from tests.api.conftest import NOW, Seed

ENGINEER = Principal("wang", Role.ENGINEER, "token")
IMAGE = b"\x7fFW" * 1000
SERIALS = [f"2100000000{n:02d}" for n in (1, 2, 3, 4, 7, 8)]


def test_waves_grow_and_nobody_is_left_out() -> None:
    serials = [str(n) for n in range(100)]
    waves = waves_of(serials, ["5", "25%"])
    assert [len(wave) for wave in waves] == [5, 20, 75]
    assert sorted(serial for wave in waves for serial in wave) == sorted(serials)
    assert waves_of(list(reversed(serials)), ["5", "25%"]) == waves
    assert [len(wave) for wave in waves_of(serials[:3], ["5", "25"])] == [3]


@pytest.mark.parametrize("sizes", [["0"], ["5", "5"], ["9", "5"], ["x"], ["-1"], ["1%", "1%"]])
def test_waves_that_do_not_grow_are_refused(sizes: list[str]) -> None:
    with pytest.raises(RequestError):
        waves_of([str(n) for n in range(100)], sizes)


def test_the_next_wave_waits_for_the_one_before() -> None:
    check_next(Tally(0, 0, 0, 0), 0, 3, 0.05, 3)
    check_next(Tally(0, 95, 2, 3), 1, 3, 0.05, 3)
    for tally, wave in ((Tally(1, 9, 0, 0), 1), (Tally(0, 0, 0, 9), 1), (Tally(0, 9, 0, 0), 3)):
        with pytest.raises(ConflictError):
            check_next(tally, wave, 3, 0.05, 3)
    assert must_stop(Tally(5, 10, 3, 0), 0.05, 3)
    assert not must_stop(Tally(5, 10, 2, 0), 0.05, 3)
    assert not must_stop(Tally(5, 97, 3, 0), 0.05, 3)


@pytest.fixture
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


async def image(write: WritePool, private: Ed25519PrivateKey, directory: Path) -> str:
    return await add_image(write, ENGINEER, "M1 v2", IMAGE, private.sign(IMAGE), private.public_key(), directory)


async def test_only_signed_images_are_taken(write: WritePool, private: Ed25519PrivateKey, tmp_path: Path) -> None:
    digest = await image(write, private, tmp_path)
    assert (tmp_path / digest).read_bytes() == IMAGE
    key = private.public_key()
    with pytest.raises(RequestError, match="signature"):
        await add_image(write, ENGINEER, "M1", IMAGE + b"!", private.sign(IMAGE), key, tmp_path)
    with pytest.raises(ForbiddenError):
        await add_image(write, Principal("li", Role.OPERATOR, "token"), "M1", IMAGE, private.sign(IMAGE), key, tmp_path)
    assert not (tmp_path / f".{digest}").exists()


def test_the_key_is_read_or_the_fault_named(private: Ed25519PrivateKey, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert load_key(str(file)) == private.public_key()
    file.write_text("nothing")
    for bad in ("", str(file), str(tmp_path / "none")):
        with pytest.raises(SettingsError, match="public_key_file"):
            load_key(bad)


async def test_a_campaign_goes_wave_by_wave_and_stops_when_it_fails(
    seeded: Seed, read: ReadPool, write: WritePool, private: Ed25519PrivateKey, tmp_path: Path, database_url: str
) -> None:
    connection: Any = await asyncpg.connect(database_url)
    settings = CommandSettings()
    digest = await image(write, private, tmp_path)
    with pytest.raises(NotFoundError, match="not known"):
        await start_campaign(write, ENGINEER, Start(digest, ["none"], ["1"], 0.3, 2, "coap://gw"))
    with pytest.raises(NotFoundError, match="no image"):
        await start_campaign(write, ENGINEER, Start("ab" * 32, SERIALS, ["1"], 0.3, 2, "coap://gw"))
    number = await start_campaign(write, ENGINEER, Start(digest, SERIALS, ["1", "4"], 0.3, 2, "coap://gw/"))
    assert await next_wave(read, write, ENGINEER, number, settings, NOW) == 1
    arguments = await connection.fetchval("SELECT arguments->>'0' FROM commands")
    assert arguments == f"coap://gw/fw/{digest[:16]}"
    with pytest.raises(ConflictError, match="have not said"):
        await next_wave(read, write, ENGINEER, number, settings, NOW)
    await connection.execute("UPDATE commands SET state = 'confirmed'")
    assert await next_wave(read, write, ENGINEER, number, settings, NOW) == 3
    await connection.execute(
        "UPDATE commands SET state = 'failed' WHERE command_id IN "
        "(SELECT command_id FROM commands WHERE state = 'queued' LIMIT 2)"
    )
    assert await stop_failing(connection, NOW) == 1  # the third is called back
    campaign = await get_campaign(read, number)
    assert (campaign.state, campaign.why, campaign.confirmed, campaign.failed, campaign.other) == (
        "stopped", "2 of 3 failed", 1, 2, 1,
    )  # fmt: skip
    with pytest.raises(ConflictError, match="stopped"):
        await next_wave(read, write, ENGINEER, number, settings, NOW)
    assert (await list_campaigns(read))[0].campaign_id == number
    await connection.close()


async def test_a_campaign_that_is_through_is_finished(
    seeded: Seed, read: ReadPool, write: WritePool, private: Ed25519PrivateKey, tmp_path: Path, database_url: str
) -> None:
    connection: Any = await asyncpg.connect(database_url)
    digest = await image(write, private, tmp_path)
    number = await start_campaign(write, ENGINEER, Start(digest, SERIALS, ["2"], 0.3, 2, "coap://gw"))
    for wave in (2, 4):
        assert await next_wave(read, write, ENGINEER, number, CommandSettings(), NOW) == wave
        assert await stop_failing(connection, NOW) == 0
        assert (await get_campaign(read, number)).state == "running"
        await connection.execute("UPDATE commands SET state = 'confirmed'")
        await stop_failing(connection, NOW)
    assert (await get_campaign(read, number)).state == "finished"
    assert [(w.wave, w.meters, w.told, w.confirmed) for w in (await get_detail(read, number)).progress] == [
        (1, 2, 2, 2), (2, 4, 4, 4),
    ]  # fmt: skip
    await connection.close()


async def test_a_person_stops_a_campaign(
    seeded: Seed, read: ReadPool, write: WritePool, private: Ed25519PrivateKey, tmp_path: Path
) -> None:
    digest = await image(write, private, tmp_path)
    number = await start_campaign(write, ENGINEER, Start(digest, SERIALS, ["4"], 0.3, 2, "coap://gw"))
    await next_wave(read, write, ENGINEER, number, CommandSettings(), NOW)
    await stop_campaign(write, ENGINEER, number, "wrong model", NOW)
    campaign = await get_campaign(read, number)
    assert (campaign.state, campaign.open, campaign.other) == ("stopped", 0, 4)
    with pytest.raises(ConflictError):
        await stop_campaign(write, ENGINEER, number, "", NOW)
