"""What the live leak stage writes into its alerts, the pages can say: each kind, in both languages, with its chart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import numpy as np
import pytest

from api.database import open_read_pool
from api.pages import leak_evidence
from api.pages.evidence import drawing, sentences
from api.pages.wording import Language, Wording
from api.queries.alerts import AlertFilter, list_alerts, valued
from tests.ingest.leaks import homes
from tests.ingest.leaks.live.test_stage import BEGIN_H, ZONE, add_meters, look, store

UNTIL_H = BEGIN_H + 20 * 24


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2)
    yield pool
    await pool.close()


def _town() -> list[Any]:
    """A steady leak, a drip, one that comes and goes, a burst, a register that stands still, one that counts
    too little."""
    steady, drip, cyclic, burst, stuck, under = homes.flows(6)
    steady[BEGIN_H:] += 6
    drip[BEGIN_H::2] += 1
    cyclic[BEGIN_H:] += np.where(np.arange(len(cyclic) - BEGIN_H) % 4 < 2, 25, 0)
    burst[UNTIL_H - 5 :] += 1_500
    stuck[BEGIN_H:] = 0
    under[BEGIN_H:] = np.floor(under[BEGIN_H:] * 0.25)
    return [steady, drip, cyclic, burst, stuck, under]


async def test_every_alert_of_the_detector_has_its_words(pool: Any, database_url: str) -> None:
    meters = await add_meters(pool, 6)
    for meter_id, flow in zip(meters, _town(), strict=True):
        await store(pool, meter_id, np.asarray(flow), 0, UNTIL_H)
    await look(pool)
    read = await open_read_pool(database_url, 1)
    try:
        found = [valued(row, 3.0, "CNY") for row in (await list_alerts(read, AlertFilter())).items]
    finally:
        await read.close()
    own = {row.meter_id: row for row in found if row.evidence.get("detector") == "own"}
    assert {own[meter].kind for meter in meters if meter in own} >= {"leak", "burst", "stuck", "under_registering"}
    comes_and_goes = own[meters[2]]
    assert comes_and_goes.evidence["pattern"] == "cyclic"
    assert comes_and_goes.rate_ml_h is not None
    assert comes_and_goes.loss_year_ml is not None
    assert 0.4 < comes_and_goes.loss_year_ml / (comes_and_goes.rate_ml_h * 8_760) < 0.8
    for row in own.values():
        for language in Language:
            say = Wording(language, ZONE)
            said = sentences(say, row)
            assert len(said) >= (5 if row.kind == "leak" else 2), said
            assert not [
                sentence for sentence in said if "{" in sentence or "None" in sentence or "hourly_ml" in sentence
            ]
            assert bool(leak_evidence.cost(say, row)) is (row.kind in ("leak", "burst"))
            assert (drawing(say, row) is not None) is (row.kind in ("leak", "burst"))
