"""Users and API tokens: making, changing and ending them. Everything here is in the audit log."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

import asyncpg

from api.audit import audit
from api.database import WritePool
from api.passwords import check_new_password, hash_password, new_password
from api.roles import Role
from metering.errors import ConflictError, NotFoundError

TOKEN_PREFIX = "nbw_"  # noqa: S105 - the public mark of a token, not one
SECRET_BYTES = 32
FIRST_LOGIN = "admin"


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


async def set_password(pool: WritePool, login: str, password: str, *, actor: str, must_change: bool) -> None:
    """Sets it and ends the user's sessions. Raises NotFoundError, or RequestError for one that is too weak."""
    check_new_password(password)
    hashed = await hash_password(password)
    async with pool.transaction() as connection:
        updated = await connection.fetchval(
            "UPDATE users SET password_hash = $2, must_change = $3 WHERE login = $1 RETURNING login",
            login, hashed, must_change,
        )  # fmt: skip
        if updated is None:
            raise NotFoundError(f"there is no user {login}")
        await connection.execute("DELETE FROM sessions WHERE login = $1", login)
        await audit(connection, actor, "user.password", login, {"must_change": must_change})


async def ensure_first_administrator(pool: WritePool, injected: str) -> str | None:
    """Makes the first administrator when there is no user at all; returns the password to show once, if it was made up.

    `injected` (may be empty) is a password the deployer chose: it is not shown and need not be changed.
    """
    if injected:
        check_new_password(injected)
    made_up = "" if injected else new_password()
    hashed = await hash_password(injected or made_up)
    async with pool.transaction() as connection:
        created = await connection.fetchval(
            "INSERT INTO users (login, password_hash, role, must_change) SELECT $1, $2, 'administrator', $3"
            " WHERE NOT EXISTS (SELECT FROM users) ON CONFLICT DO NOTHING RETURNING login",
            FIRST_LOGIN, hashed, not injected,
        )  # fmt: skip
        if created is not None:
            await audit(connection, "platform", "user.create", FIRST_LOGIN, {"role": "administrator"})
    return made_up or None if created is not None else None


async def create_user(pool: WritePool, login: str, role: Role, password: str, *, actor: str) -> None:
    """The password is a one-time one. Raises ConflictError when the login is taken."""
    check_new_password(password)
    hashed = await hash_password(password)
    try:
        async with pool.transaction() as connection:
            await connection.execute(
                "INSERT INTO users (login, password_hash, role, must_change) VALUES ($1, $2, $3, true)",
                login, hashed, role.label,
            )  # fmt: skip
            await audit(connection, actor, "user.create", login, {"role": role.label})
    except asyncpg.UniqueViolationError as error:
        raise ConflictError(f"the login {login} is taken") from error


async def update_user(
    pool: WritePool, login: str, *, role: Role | None, enabled: bool | None, password: str | None, actor: str
) -> None:
    """Changes what is not None and ends the user's sessions. A password given here is a one-time one.

    Raises NotFoundError; ConflictError when no enabled administrator would be left.
    """
    if password is not None:
        check_new_password(password)
    hashed = await hash_password(password) if password is not None else None
    async with pool.transaction() as connection:
        await connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        updated = await connection.fetchval(
            "UPDATE users SET role = COALESCE($2, role), enabled = COALESCE($3, enabled),"
            " password_hash = COALESCE($4, password_hash), must_change = must_change OR $4 IS NOT NULL"
            " WHERE login = $1 RETURNING login",
            login, role.label if role else None, enabled, hashed,
        )  # fmt: skip
        if updated is None:
            raise NotFoundError(f"there is no user {login}")
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM users WHERE role = 'administrator' AND enabled)"):
            raise ConflictError("this would leave no administrator")
        await connection.execute("DELETE FROM sessions WHERE login = $1", login)
        changed = {"role": role.label if role else None, "enabled": enabled, "password": password is not None}
        await audit(connection, actor, "user.change", login, changed)


async def create_token(
    pool: WritePool, name: str, login: str, role: Role, *, expires_at: datetime | None = None, actor: str
) -> str:
    """The token itself, which is never to be had again. Raises ConflictError when the name is taken, NotFoundError
    when there is no such user."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    try:
        async with pool.transaction() as connection:
            await connection.execute(
                "INSERT INTO api_tokens (token_hash, name, login, role, expires_at) VALUES ($1, $2, $3, $4, $5)",
                hash_of(token), name, login, role.label, expires_at,
            )  # fmt: skip
            await audit(connection, actor, "token.create", name, {"login": login, "role": role.label})
    except asyncpg.UniqueViolationError as error:
        raise ConflictError(f"there is a token {name} already") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFoundError(f"there is no user {login}") from error
    return token


async def revoke_token(pool: WritePool, name: str, *, actor: str) -> None:
    """Raises NotFoundError."""
    async with pool.transaction() as connection:
        if await connection.fetchval("DELETE FROM api_tokens WHERE name = $1 RETURNING name", name) is None:
            raise NotFoundError(f"there is no token {name}")
        await audit(connection, actor, "token.revoke", name, {})
