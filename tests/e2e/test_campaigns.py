"""A firmware campaign from the signed file to the meters' word: two waves, of which the second fails and is stopped."""

from __future__ import annotations

import asyncio
import csv
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulators import message
from simulators.coap import Sender
from simulators.exchange import Fate, Timers
from simulators.firmware import fetch
from simulators.keys import first_number, key_row
from simulators.obedience import Obedience
from simulators.protected_sender import ProtectedSender
from tests.e2e.running import DEADLINE_S, Up

IMAGE = os.urandom(20_000)
SERIALS = [f"2100000000{n:02d}" for n in range(1, 9)]
TIMERS = Timers(ack_timeout_s=5.0, unavailable_retries=20, pause_cap_s=0.5)


class Meters:
    """All of SERIALS, behind one port, with their keys and what they were told."""

    def __init__(self, sender: Sender) -> None:
        self.protected = ProtectedSender(sender, first_number(time.time()))
        self.told = {serial: Obedience(can_update=True) for serial in SERIALS}

    async def report(self, serial: str) -> None:
        told = self.told[serial]
        results = told.results
        payload = cbor2.dumps({0: 1, 11: int(time.time()), 13: [[name, end] for name, end in results]})
        answer = await self.protected.post(serial, message.request_tail(("r", serial), 60, payload))
        if answer.fate is not Fate.ANSWERED:
            return
        told.reported(results)
        if answer.payload:
            told.obey(answer.payload, int(time.time()))
        if (update := told.update) is not None:
            ask = partial(self.protected.get, serial)
            image, whole = await fetch(ask, update.uri, update.size_bytes)
            told.fetched(image if whole else None)

    async def until(self, up: Up, query: str) -> None:
        """They report until the database says so."""
        deadline = time.monotonic() + DEADLINE_S
        while await up.count(query) != 1:
            assert time.monotonic() < deadline, query
            for serial in SERIALS:
                await self.report(serial)


def prepare(up: Up, directory: Path, key: Ed25519PrivateKey) -> str:
    """Meters with keys, a signed image; an engineer's token."""
    (directory / "meters.csv").write_text("serial\n" + "\n".join(SERIALS) + "\n")
    done = up.nbwater("meters", "import", str(directory / "meters.csv"))
    assert done.returncode == 0, done.stderr
    with (directory / "keys.csv").open("w") as file:
        rows = [key_row(serial) for serial in SERIALS]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = up.nbwater("keys", "import", str(directory / "keys.csv"))
    assert done.returncode == 0, done.stderr
    (directory / "image.bin").write_bytes(IMAGE)
    (directory / "image.sig").write_bytes(key.sign(IMAGE))
    return up.nbwater("tokens", "create", "engineer", "--role", "engineer").stdout.strip()


def begin(up: Up, directory: Path, *token: str) -> None:
    """Campaign 1: two meters first, then the others."""
    image = str(directory / "image.bin"), "--signature", str(directory / "image.sig"), "--name", "M1 v2"
    added = up.nbwater("campaigns", "add-image", *image, *token)
    assert added.returncode == 0, added.stderr
    assert (up.data / "firmware" / added.stdout.strip()).read_bytes() == IMAGE
    serials = directory / "serials"
    serials.write_text("\n".join(SERIALS))
    rule = ("--waves", "2", "--stop-share", "0.3", "--stop-after", "2")
    begun = up.nbwater("campaigns", "start", added.stdout.strip(), str(serials), *rule, *token)
    assert begun.stdout == "campaign 1\n", begun.stderr


async def test_two_waves_of_which_the_second_fails(start: Callable[..., Up], tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = tmp_path / "key.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    up = start(NBWATER_FIRMWARE_PUBLIC_KEY_FILE=str(public), NBWATER_FIRMWARE_URI_BASE="coap://gw")
    token = ("--token", prepare(up, tmp_path, key))
    begin(up, tmp_path, *token)
    assert "2 meters" in up.nbwater("campaigns", "next", "1", *token).stdout
    async with Sender("127.0.0.1", up.instance["coap_port"], ports=1, timers=TIMERS) as sender:
        meters = Meters(sender)
        await meters.until(up, "SELECT (count(*) = 2)::int FROM commands WHERE state = 'confirmed'")
        assert [told.firmware != b"" for told in meters.told.values()].count(True) == 2
        for told in meters.told.values():
            told.flash_fails = True
        assert "6 meters" in up.nbwater("campaigns", "next", "1", *token).stdout
        await meters.until(up, "SELECT count(*) FROM campaigns WHERE state = 'stopped'")
    shown = up.nbwater("campaigns", "show", "1").stdout
    assert "stopped  wave 2 of 2  8 meters: 2 done" in shown
    assert "stopped" in up.nbwater("campaigns", "next", "1", *token).stderr
    connection = await asyncpg.connect(up.instance["database_url"])
    rows = await connection.fetch("SELECT action FROM audit_log WHERE action ~ '^(firmware|campaign)' ORDER BY at")
    await connection.close()
    assert [row["action"] for row in rows] == ["firmware.add", "campaign.start", "campaign.wave", "campaign.wave"]
    assert await asyncio.to_thread(up.end) == 0
