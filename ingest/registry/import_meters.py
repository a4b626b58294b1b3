"""Takes meters of an import into the registry: all of them or none, set by set, so that a city's million works.

What a row does, by the meter's serial:

- a new meter gets a service point, a device (named by its IMEI, else by the serial) and an installation from
  `installed_at`, by default since ever, so that readings from before the import are its own;
- a known meter gets what the row states; what it leaves out stays;
- a known meter whose device had no IMEI yet: the device has it now;
- a known meter with another IMEI has another device: the installation ends and one with the new device begins, at
  `installed_at` when that is later than the present beginning, else now;
- `pushers`: the device that is then on the meter is bound to these push products and to no others;
- `installed_at` of a meter with the same device corrects the beginning of its only installation, `multiplier` that of
  its present one;
- `replaces`: a new meter, or one that lay in the store, takes the place of another: that one's installation ends when
  the new one's begins, at the same service point. Its device is free then, also for the new meter.

The same file a second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import asyncpg

from ingest.registry.meter_rows import MeterRow, parse_csv, parse_file, parse_rows
from metering.errors import ImportRowsError
from metering.import_file import IMPORT_LOCK
from metering.pushers import BINDING_LOCK

__all__ = ["LOOPBACK", "MeterRow", "import_meters", "parse_csv", "parse_file", "parse_rows"]

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""From where new meters may speak without a key unless the importer says otherwise."""

SLICE_ROWS = 20_000
"""Rows handed to the database in one statement."""

_STAGE = """
INSERT INTO import_rows (default_sources, line, serial, imei, maker, model, dn_mm, q3_l_h, zone, address, latitude,
                         longitude, installed_at, critical, plain_sources, pushers, multiplier, start_index_ml,
                         replaces)
SELECT $1, u.* FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::int[], $9::text[],
                           $10::text[], $11::float8[], $12::float8[], $13::timestamptz[], $14::boolean[],
                           $15::text[], $16::text[], $17::int[], $18::bigint[], $19::text[]) AS u
"""


async def import_meters(
    connection: asyncpg.Connection, rows: Sequence[MeterRow], plain_sources: Sequence[str] = LOOPBACK
) -> int:
    """Take the rows in one transaction; how many there were. `plain_sources`: networks from which new meters may speak
    without a key where the row names none. Raises ImportRowsError when a row contradicts the database; nothing of the
    import is then done. Imports at once queue."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", IMPORT_LOCK)
        await connection.execute(_sql("import_stage"))
        for start in range(0, len(rows), SLICE_ROWS):
            await connection.execute(_STAGE, " ".join(plain_sources), *_columns(rows[start : start + SLICE_ROWS]))
        if any(row.pushers is not None for row in rows):
            await connection.execute("SELECT pg_advisory_xact_lock($1)", BINDING_LOCK)
        await connection.execute(_sql("import_match"))
        await _refuse(connection, "import_refuse")
        await connection.execute(_sql("import_apply"))
        await _refuse(connection, "import_overlap")
        await connection.execute("DROP TABLE import_rows")
    return len(rows)


async def _refuse(connection: asyncpg.Connection, query: str) -> None:
    if bad := await connection.fetch(_sql(query)):
        raise ImportRowsError([(row["line"], row["field"], row["message"]) for row in bad])


def _columns(rows: Sequence[MeterRow]) -> list[list[Any]]:
    """The fields of the rows, column by column, as `_STAGE` takes them."""
    return [list(column) for column in zip(*map(_fields, rows), strict=True)]


def _fields(row: MeterRow) -> tuple[Any, ...]:
    sources = None if row.plain_sources is None else " ".join(row.plain_sources)
    pushers = None if row.pushers is None else " ".join(row.pushers)
    return (
        row.line, row.serial, row.imei, row.maker, row.model, row.dn_mm, row.q3_l_h, row.zone, row.address,
        row.latitude, row.longitude, row.installed_at, row.critical, sources, pushers,
        row.multiplier, row.start_index_ml, row.replaces,
    )  # fmt: skip


def _sql(name: str) -> str:
    return (resources.files("ingest.registry") / f"{name}.sql").read_text("utf-8")
