"""Databases that live for one test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def fresh_database(administration_url: str, template: str = "template1") -> AsyncIterator[str]:
    """Its name; dropped afterwards, with whoever is still connected."""
    name = f"test_{secrets.token_hex(6)}"
    administration = await asyncpg.connect(administration_url)
    await administration.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await administration.close()
