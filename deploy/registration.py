"""Puts meters into the registry, for the command line and for the simulators."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from deploy.servers import connect_database
from ingest.registry.import_meters import import_meters, parse_csv

LOOPBACK = ("127.0.0.0/8", "::1/128")


async def register_csv(database_url: str, text: str, plain_sources: Sequence[str] = LOOPBACK) -> int:
    """How many meters were taken. Raises ImportRowsError, StartError."""
    rows = parse_csv(text)
    connection = await connect_database(database_url)
    try:
        return await import_meters(connection, rows, plain_sources)
    finally:
        await connection.close()


async def register_rows(database_url: str, rows: Sequence[dict[str, str]]) -> int:
    """As `register_csv`; the keys are the names of the file's header."""
    if not rows:
        return 0
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return await register_csv(database_url, text.getvalue())
