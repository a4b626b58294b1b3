"""Custody of reports that OSCORE protects: as `tests.bench.custody`, beside the plain figure of the same run.

The same meters report plainly first; then they get keys and must use them. Reports are encrypted before they leave and
usual answers known by their form, so that the generator costs about what it costs in the plain run.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from deploy.accounts import master_key_file
from metering.credentials import CredentialKind, MasterKeys, OscoreSecret, load_master_keys
from metering.settings import KeysSettings
from simulators import message
from simulators.admission import admit
from simulators.coap import Sender
from simulators.keys import master_secret, protected_meter, sender_id
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, serial
from tests.bench.processes import Platform, platform
from tests.bench.sections import Progress
from tests.bench.under_load import READINGS, SEQ_BASE, Loaded, Played, loaded

METERS = 20_000
PROBE_S = 5.0
BURST_S = 30.0
WINDOW = 600
SHARES = (0.9, 0.82, 0.75, 0.69, 0.64, 0.57, 0.5)
P99_MS = 50.0
STANDING_STILL = ("ingest", "settlement")

_ENROL = """
INSERT INTO credentials (device_id, kind, key_id, sealed, created_by)
SELECT installed.device_id, $1, key_id, sealed, 'benchmark'
FROM unnest($2::text[], $3::bytea[], $4::bytea[]) AS made(serial, key_id, sealed)
JOIN meters USING (serial) JOIN installations AS installed USING (meter_id)
WHERE installed.valid_to IS NULL"""


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `custody_oscore.*` of bench.json."""
    with platform({"NBWATER_OSCORE_FIRST_CONTACT": "accept"}) as under_test:
        return asyncio.run(_measure(under_test, progress, quick))


async def _measure(under_test: Platform, progress: Progress, quick: bool) -> dict[str, Any]:
    probe_s, burst_s = (2.0, 4.0) if quick else (PROBE_S, BURST_S)
    async with loaded(under_test, 2_000 if quick else METERS) as city:
        with under_test.stopped(*STANDING_STILL):
            plain = await city.play(seconds=probe_s, window=WINDOW)
            progress(f"custody, plain, closed loop of {WINDOW}: {plain.answered / probe_s:,.0f} reports/s")
        await enrol(city)
        with under_test.stopped(*STANDING_STILL):
            probe = await city.play(seconds=probe_s, window=WINDOW, oscore=True)
            capacity = probe.answered / probe_s
            progress(f"custody, OSCORE, closed loop of {WINDOW}: {capacity:,.0f} reports/s")
            burst = await _burst(city, capacity, burst_s, progress)
    latency = burst.result["latency_ms"]
    return {
        "reports_per_s": burst.answered / burst_s,
        "closed_loop_reports_per_s": capacity,
        "plain_closed_loop_reports_per_s": plain.answered / probe_s,
        "ratio_to_plain": probe.answered / plain.answered,
        "p50_ms": latency["p50"],
        "p99_ms": latency["p99"],
        "p999_ms": latency["p999"],
        "burst_s": burst_s,
        "gateway_us_per_report": 1e6 * probe.cpu_s["gateway"] / max(1, probe.answered),
        "plain_gateway_us_per_report": 1e6 * plain.cpu_s["gateway"] / max(1, plain.answered),
        "codes": burst.result["codes"],
    }


async def _burst(city: Loaded, capacity: float, burst_s: float, progress: Progress) -> Played:
    """Open loop at the highest share of the capacity whose p99 is within P99_MS, else at the lowest."""
    for share in SHARES:
        played = await city.play(seconds=burst_s, rate=capacity * share, oscore=True)
        p99_ms = played.result["latency_ms"]["p99"]
        progress(f"custody, OSCORE, open loop of {played.order.rate:,.0f} reports/s: p99 {p99_ms:.0f} ms")
        if p99_ms <= P99_MS:
            break
    return played


async def enrol(city: Loaded) -> None:
    """Every meter has a key, and the gateways know it."""
    keys = load_master_keys(KeysSettings(master_file=str(master_key_file(city.platform.data))))
    assert keys is not None
    serials = [serial(meter) for meter in range(city.meters)]
    await _insert(city.connection, keys, serials)
    rows = ReportRows(Plan(city.meters, city.meters, READINGS, city.first_s, SEQ_BASE))
    async with Sender("127.0.0.1", city.platform.coap_port, ports=1) as sender:
        for number in (city.meters - 1, 0):  # reports that are stored already: a repeat changes nothing
            protected = protected_meter(serials[number], 0).protect(message.POST, rows.tail(number))[1]
            await admit(sender, serials[number], protected)
    await city.until_idle()


async def _insert(connection: asyncpg.Connection, keys: MasterKeys, serials: list[str]) -> None:
    made = [
        keys.seal(CredentialKind.OSCORE, sender_id(name), OscoreSecret(master_secret(name)).encode())
        for name in serials
    ]
    await connection.execute(
        _ENROL, int(CredentialKind.OSCORE), serials, [each.key_id for each in made], [each.sealed for each in made]
    )
