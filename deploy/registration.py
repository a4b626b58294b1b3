"""Puts meters into the registry, for the command line and for the simulators."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.servers import connect_database
from ingest.registry.import_meters import LOOPBACK, MeterRow, import_meters, parse_file, parse_rows
from metering.settings import UtilitySettings, load
from metering.zones.rows import parse_flows, parse_geojson
from metering.zones.take import import_features, import_flows


async def register_file(database_url: str, data: bytes, plain_sources: Sequence[str] = LOOPBACK) -> int:
    """How many meters of an import file were taken. Raises ImportRowsError, StartError."""
    return await _register(database_url, parse_file(data, load(UtilitySettings).zone), plain_sources)


async def register_rows(
    database_url: str, rows: Sequence[dict[str, str]], plain_sources: Sequence[str] = LOOPBACK
) -> int:
    """As `register_file`; the keys are the names of the file's header."""
    return await _register(database_url, parse_rows(rows, load(UtilitySettings).zone), plain_sources)


async def register_zones(database_url: str, geojson: bytes) -> int:
    """How many zones of a map were taken. Raises ImportRowsError, StartError."""
    features = parse_geojson(geojson)
    connection = await connect_database(database_url)
    try:
        return (await import_features(connection, features))[0]
    finally:
        await connection.close()


async def register_flows(database_url: str, data: bytes) -> int:
    """How many bulk meters of an import file were taken. Raises ImportRowsError, StartError."""
    rows = parse_flows(data, load(UtilitySettings).zone)
    connection = await connect_database(database_url)
    try:
        return await import_flows(connection, rows)
    finally:
        await connection.close()


async def _register(database_url: str, rows: Sequence[MeterRow], plain_sources: Sequence[str]) -> int:
    connection = await connect_database(database_url)
    try:
        return await import_meters(connection, rows, plain_sources)
    finally:
        await connection.close()
