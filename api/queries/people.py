"""Users and API tokens, as administrators list them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.database import ReadPool


@dataclass(frozen=True, slots=True)
class UserRow:
    """`must_change`: has a one-time password."""

    login: str
    role: str
    must_change: bool
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`expires_at` None: until revoked. `last_used_at` is right to a minute."""

    name: str
    login: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


async def list_users(pool: ReadPool) -> list[UserRow]:
    return await pool.fetch(
        UserRow, "SELECT login, role, must_change, enabled, created_at FROM users ORDER BY login LIMIT 1000"
    )


async def list_tokens(pool: ReadPool) -> list[TokenRow]:
    return await pool.fetch(
        TokenRow,
        "SELECT name, login, role, created_at, expires_at, last_used_at FROM api_tokens ORDER BY name LIMIT 1000",
    )
