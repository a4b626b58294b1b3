"""Firmware campaigns: images that may be sent, who gets them in which wave, and how it goes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from api.audit import audit
from api.campaign_rules import Tally, check_next, waves_of
from api.command_rules import check_role
from api.database import ReadPool, WritePool
from api.firmware_signature import check
from api.queries.commanding import MAX_ORDERS, Filing, Order, file_checked
from api.roles import Principal
from metering.command_arguments import MAX_FIRMWARE_BYTES
from metering.commands import CommandKind
from metering.errors import ConflictError, NotFoundError, RequestError
from metering.settings import CommandSettings

TTL = timedelta(days=14)
PREFIX_DIGITS = 16
"""Of the SHA-256, in the address that meters fetch from."""


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """`sha256` in hexadecimal. `open` … `other`: commands, as `api.campaign_rules.Tally`."""

    campaign_id: int
    name: str
    sha256: str
    size_bytes: int
    uri: str
    state: str
    wave: int
    waves: int
    meters: int
    stop_share: float
    stop_after: int
    why: str
    started_by: str
    started_at: datetime
    open: int
    confirmed: int
    failed: int
    other: int

    @property
    def tally(self) -> Tally:
        return Tally(self.open, self.confirmed, self.failed, self.other)


@dataclass(frozen=True, slots=True)
class WaveRow:
    """Meters of a wave. `told`: a command was filed for; of those `open` … `other`, as `api.campaign_rules.Tally`."""

    wave: int
    meters: int
    told: int
    open: int
    confirmed: int
    failed: int
    other: int


@dataclass(frozen=True, slots=True)
class CampaignDetail:
    """`progress`: wave by wave."""

    campaign: CampaignRow
    progress: list[WaveRow]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """`sha256` in hexadecimal."""

    sha256: str
    name: str
    size_bytes: int
    added_by: str
    added_at: datetime


_IMAGES = """
SELECT encode(sha256, 'hex') AS sha256, name, size_bytes, added_by, added_at FROM firmware_images
ORDER BY added_at DESC, sha256 LIMIT 100
"""
_COUNTS = """count(*) FILTER (WHERE c.state IN ('awaiting_approval', 'queued', 'handed_over')) AS open,
        count(*) FILTER (WHERE c.state = 'confirmed') AS confirmed,
        count(*) FILTER (WHERE c.state IN ('failed', 'refused')) AS failed,
        count(*) FILTER (WHERE c.state IN ('expired', 'cancelled')) AS other"""
_WAVES = f"""
SELECT cm.wave, count(*) AS meters, count(c.command_id) AS told, {_COUNTS}
FROM campaign_meters cm
LEFT JOIN commands c ON c.campaign_id = cm.campaign_id AND c.meter_id = cm.meter_id
WHERE cm.campaign_id = $1 GROUP BY cm.wave ORDER BY cm.wave
"""  # noqa: S608 - a constant

_SELECT = f"""
SELECT k.campaign_id, f.name, encode(k.sha256, 'hex') AS sha256, f.size_bytes, k.uri, k.state, k.wave, k.waves,
    (SELECT count(*) FROM campaign_meters cm WHERE cm.campaign_id = k.campaign_id) AS meters,
    k.stop_share, k.stop_after, k.why, k.started_by, k.started_at, t.open, t.confirmed, t.failed, t.other
FROM campaigns k
JOIN firmware_images f USING (sha256)
CROSS JOIN LATERAL (
    SELECT {_COUNTS}
    FROM commands c WHERE c.campaign_id = k.campaign_id) t
"""  # noqa: S608 - a constant
_LIST = _SELECT + "ORDER BY k.campaign_id DESC LIMIT 100"
_ONE = _SELECT + "WHERE k.campaign_id = $1"
_ADD = """
INSERT INTO firmware_images (sha256, name, size_bytes, signature, added_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
_START = """
INSERT INTO campaigns (sha256, uri, state, waves, stop_share, stop_after, started_by)
SELECT sha256, $2, 'running', $3, $4, $5, $6 FROM firmware_images WHERE sha256 = $1 RETURNING campaign_id
"""
_MEMBERS = """
INSERT INTO campaign_meters (campaign_id, meter_id, wave)
SELECT $1, m.meter_id, n.wave FROM unnest($2::text[], $3::integer[]) AS n (serial, wave) JOIN meters m USING (serial)
"""
_WAVE = """
SELECT m.serial FROM campaign_meters JOIN meters m USING (meter_id)
WHERE campaign_id = $1 AND wave = $2
  AND NOT EXISTS (SELECT FROM commands c WHERE c.campaign_id = $1 AND c.meter_id = m.meter_id)
ORDER BY m.serial LIMIT $3
"""
_ADVANCE = "UPDATE campaigns SET wave = $2 WHERE campaign_id = $1 AND wave = $3 AND state = 'running'"
_END = "UPDATE campaigns SET state = $2, why = $3 WHERE campaign_id = $1 AND state = 'running' RETURNING campaign_id"
_CALL_BACK = """
WITH called AS (
    UPDATE commands SET state = 'cancelled', ended_at = $3
    WHERE campaign_id = $1 AND state IN ('awaiting_approval', 'queued') RETURNING command_id)
INSERT INTO command_events (command_id, at, state, actor, detail)
SELECT command_id, $3, 'cancelled', $2, 'the campaign was stopped' FROM called
"""


async def list_campaigns(pool: ReadPool) -> list[CampaignRow]:
    """The newest first."""
    return await pool.fetch(CampaignRow, _LIST)


async def get_campaign(pool: ReadPool, campaign_id: int) -> CampaignRow:
    """Raises NotFoundError."""
    found = await pool.fetch_one(CampaignRow, _ONE, campaign_id)
    if found is None:
        raise NotFoundError(f"there is no campaign {campaign_id}")
    return found


async def get_detail(pool: ReadPool, campaign_id: int) -> CampaignDetail:
    """Raises NotFoundError."""
    campaign = await get_campaign(pool, campaign_id)
    return CampaignDetail(campaign, await pool.fetch(WaveRow, _WAVES, campaign_id))


async def list_images(pool: ReadPool) -> list[ImageRow]:
    """The newest first."""
    return await pool.fetch(ImageRow, _IMAGES)


async def add_image(
    pool: WritePool, who: Principal, name: str, image: bytes, signature: bytes, key: Ed25519PublicKey, directory: Path
) -> str:
    """Check the signature, put the image where gateways find it, and write it down; its SHA-256 in hexadecimal.

    Raises ForbiddenError, RequestError.
    """
    check_role(who, CommandKind.FIRMWARE)
    if not 1 <= len(image) <= MAX_FIRMWARE_BYTES:
        raise RequestError(f"an image has 1 to {MAX_FIRMWARE_BYTES} bytes")
    check(key, image, signature)
    digest = hashlib.sha256(image).digest()
    await asyncio.to_thread(_put, directory, digest.hex(), image)
    async with pool.transaction() as connection:
        await connection.execute(_ADD, digest, name, len(image), signature, who.login)
        await audit(connection, who.login, "firmware.add", digest.hex(), {"name": name, "bytes": len(image)})
    return digest.hex()


def _put(directory: Path, name: str, image: bytes) -> None:
    """Whole or not at all: gateways may be looking."""
    directory.mkdir(parents=True, exist_ok=True)
    half = directory / f".{name}"
    half.write_bytes(image)
    half.replace(directory / name)


@dataclass(frozen=True, slots=True)
class Start:
    """`sizes`: as `api.campaign_rules.waves_of`. `uri_base`: where meters reach the gateways."""

    sha256: str
    serials: Sequence[str]
    sizes: Sequence[str]
    stop_share: float
    stop_after: int
    uri_base: str


async def start_campaign(pool: WritePool, who: Principal, start: Start) -> int:
    """A campaign whose first wave has not gone yet. Raises ForbiddenError, NotFoundError, RequestError."""
    check_role(who, CommandKind.FIRMWARE)
    if not start.uri_base:
        raise ConflictError("firmware.uri_base is not set: meters would not know where to fetch the image")
    waves = waves_of(start.serials, start.sizes)
    members = [(serial, number) for number, wave in enumerate(waves, 1) for serial in wave]
    uri = f"{start.uri_base.rstrip('/')}/fw/{start.sha256[:PREFIX_DIGITS]}"
    async with pool.transaction() as connection:
        digest = bytes.fromhex(start.sha256)
        campaign_id = await connection.fetchval(
            _START, digest, uri, len(waves), start.stop_share, start.stop_after, who.login
        )
        if campaign_id is None:
            raise NotFoundError(f"there is no image {start.sha256}")
        done = await connection.execute(_MEMBERS, campaign_id, *map(list, zip(*members, strict=True)))
        if int(done.rpartition(" ")[2]) < len(members):
            raise NotFoundError("a meter of the campaign is not known")
        detail = {"sha256": start.sha256, "meters": len(members), "waves": [len(wave) for wave in waves]}
        await audit(connection, who.login, "campaign.start", str(campaign_id), detail)
    return int(campaign_id)


async def next_wave(
    read: ReadPool, write: WritePool, who: Principal, campaign_id: int, settings: CommandSettings, now: datetime
) -> int:
    """Send the next wave out, or what an interrupted call left of it; how many commands were filed.

    Raises ConflictError when it may not go.
    """
    check_role(who, CommandKind.FIRMWARE)
    campaign = await get_campaign(read, campaign_id)
    if campaign.state != "running":
        raise ConflictError(f"the campaign is {campaign.state}")
    left = await read.records(_WAVE, campaign_id, campaign.wave, 1)
    wave = campaign.wave if left else campaign.wave + 1
    if not left:
        check_next(campaign.tally, campaign.wave, campaign.waves, campaign.stop_share, campaign.stop_after)
        async with write.transaction() as connection:
            if await connection.execute(_ADVANCE, campaign_id, wave, campaign.wave) != "UPDATE 1":
                raise ConflictError("somebody else has just moved this campaign")
            await audit(connection, who.login, "campaign.wave", str(campaign_id), {"wave": wave})
    arguments = {"uri": campaign.uri, "sha256": campaign.sha256, "size_bytes": campaign.size_bytes}
    filed = 0
    while rows := await read.records(_WAVE, campaign_id, wave, MAX_ORDERS):
        orders = [Order(row["serial"], arguments) for row in rows]
        filing = Filing(CommandKind.FIRMWARE, orders, f"campaign {campaign_id}, wave {wave}", TTL, campaign_id)
        filed += len(await file_checked(write, who, filing, filing.reason, settings, now))
    return filed


async def stop_campaign(pool: WritePool, who: Principal, campaign_id: int, why: str, now: datetime) -> None:
    """Call back what meters have not been told yet. Raises ConflictError when it does not run."""
    check_role(who, CommandKind.FIRMWARE)
    async with pool.transaction() as connection:
        if await connection.fetchval(_END, campaign_id, "stopped", why) is None:
            raise ConflictError("no such campaign is running")
        await connection.execute(_CALL_BACK, campaign_id, who.login, now)
        await audit(connection, who.login, "campaign.stop", str(campaign_id), {"why": why})
