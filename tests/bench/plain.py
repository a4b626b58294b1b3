"""What the plain aiocoap + asyncpg server sustains on the same database server, with the same generator."""

from __future__ import annotations

import asyncio

from tests.bench.processes import free_udp_port, process, python
from tests.bench.search import highest
from tests.bench.sections import Progress
from tests.bench.under_load import Loaded

FIRST_RATE = 400.0
BISECTIONS = 2
ANSWERED_SHARE = 0.999
PATIENCE_S = 2.0
"""A step that holds has answered nearly all within so long: then nothing piles up in the server."""


async def plain_rate(database_url: str, city: Loaded, seconds: float, progress: Progress) -> float:
    """Reports a second."""

    async def holds(rate: float) -> bool:
        port = free_udp_port()
        with process(python("tests.bench.plain_stack", str(port), database_url)) as child:
            assert child.stdout is not None
            await asyncio.to_thread(child.stdout.readline)
            played = await city.play(rate=rate, seconds=seconds, port=port)
        result = played.result
        p99_ms = result["latency_ms"]["p99"]
        held = result["answered"] >= ANSWERED_SHARE * result["offered"] and p99_ms <= PATIENCE_S * 1000
        progress(
            f"plain stack {rate:,.0f} reports/s: {'held' if held else 'NOT held'}, answered "
            f"{result['answered']}/{result['offered']}, p99 {p99_ms} ms"
        )
        return bool(held)

    return await highest(holds, FIRST_RATE, BISECTIONS, growth=1.6)
