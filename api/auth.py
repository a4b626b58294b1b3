"""Who is asking and what they may do: logins with sessions for people, tokens for programs.

The database holds only SHA-256 of session and token secrets; 256 random bits need no slow hash. Comparisons are by
`hmac.compare_digest`. A token never has more rights than its user.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

import asyncpg
from prometheus_client import Counter

from api.audit import audit
from api.database import ReadPool, WritePool
from api.passwords import check_new_password, hash_password, new_password, password_matches
from api.throttle import LoginThrottle
from metering.errors import ConflictError, NotFoundError, RequestError

TOKEN_PREFIX = "nbw_"  # noqa: S105 - the public mark of a token, not one
SECRET_BYTES = 32
MAX_CREDENTIAL_CHARACTERS = 128
MAX_SESSIONS_PER_LOGIN = 50
FIRST_LOGIN = "admin"
TOUCH_AFTER_S = 60.0

LOGINS = Counter("nbwater_api_logins_total", "Login attempts by result", ["result"])


class Role(IntEnum):
    """Each may do all that those below it may. Stored by lower-case name."""

    VIEWER = 1
    OPERATOR = 2
    ENGINEER = 3
    ADMINISTRATOR = 4

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> Role:
        """Raises RequestError for an unknown role."""
        try:
            return cls[label.upper()]
        except KeyError as error:
            raise RequestError(f"a role is one of {', '.join(role.label for role in cls)}") from error


@dataclass(frozen=True, slots=True)
class Principal:
    """`via`: 'session' (a person's browser; cross-site checks apply) or 'token'."""

    login: str
    role: Role
    via: str
    must_change: bool = False
    """Has a one-time password and may do nothing but change it."""


@dataclass(frozen=True, slots=True)
class UserRow:
    login: str
    role: str
    must_change: bool
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TokenRow:
    name: str
    login: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class CredentialsError(RequestError):
    """Login and password do not belong together. Says no more, whatever was wrong."""

    label = "credentials"
    http = 401


class ThrottledError(RequestError):
    """Too many failures; `retry_after_s` says when to try again."""

    label = "throttled"
    http = 429

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many failed logins: try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


_PERSON = """
SELECT s.session_hash AS secret_hash, u.login, u.role, u.role AS user_role, u.must_change
FROM sessions s JOIN users u ON u.login = s.login
WHERE s.session_hash = $1 AND s.expires_at > now() AND u.enabled
"""

_PROGRAM = """
SELECT t.token_hash AS secret_hash, u.login, t.role, u.role AS user_role, false AS must_change
FROM api_tokens t JOIN users u ON u.login = t.login
WHERE t.token_hash = $1 AND (t.expires_at IS NULL OR t.expires_at > now()) AND u.enabled
"""


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


class Auth:
    """`session_s`: how long a login lasts, not prolonged by use."""

    def __init__(
        self, read: ReadPool, write: WritePool, session_s: float, throttle: LoginThrottle | None = None
    ) -> None:
        self._read, self._write, self._session_s = read, write, session_s
        self._throttle = throttle or LoginThrottle()
        self._touched_s: dict[bytes, float] = {}

    async def verify_login(self, login: str, password: str, address: str) -> str:
        """A new session's token, for the cookie. Raises CredentialsError or ThrottledError."""
        await self._check(login, password, address)
        token = secrets.token_urlsafe(SECRET_BYTES)
        async with self._write.transaction() as connection:
            await connection.execute("DELETE FROM sessions WHERE expires_at <= now()")
            await connection.execute(
                "INSERT INTO sessions (session_hash, login, expires_at) VALUES ($1, $2, now() + $3 * INTERVAL '1 s')",
                hash_of(token), login, self._session_s,
            )  # fmt: skip
            await connection.execute(
                "DELETE FROM sessions WHERE session_hash IN (SELECT session_hash FROM sessions WHERE login = $1"
                " ORDER BY created_at DESC OFFSET $2)",
                login, MAX_SESSIONS_PER_LOGIN,
            )  # fmt: skip
            await audit(connection, login, "login", login, {"address": address})
        return token

    async def _check(self, login: str, password: str, address: str) -> None:
        login = login[:MAX_CREDENTIAL_CHARACTERS]
        wait_s = self._throttle.wait_s(login, address, time.monotonic())
        if wait_s > 0:
            LOGINS.labels("throttled").inc()
            raise ThrottledError(wait_s)
        # Counted as failed until it succeeded: tries that run at the same time are throttled too.
        self._throttle.failed(login, address, time.monotonic())
        known = "\0" not in login
        stored = await self._read.value("SELECT password_hash FROM users WHERE login = $1 AND enabled", login) \
            if known else None  # fmt: skip
        if not await password_matches(stored, password):
            LOGINS.labels("refused").inc()
            raise CredentialsError("login or password is wrong")
        self._throttle.succeeded(login, address)
        LOGINS.labels("accepted").inc()

    async def session_of(self, token: str) -> Principal | None:
        """Whose session it is; None when it is unknown, over, or its user is locked."""
        return await self._principal(_PERSON, token, "session")

    async def token_of(self, token: str) -> Principal | None:
        """Whose API token it is; None when it is none."""
        if not token.startswith(TOKEN_PREFIX):
            return None
        principal = await self._principal(_PROGRAM, token, "token")
        if principal is not None:
            await self._touch(hash_of(token))
        return principal

    async def _principal(self, query: str, secret: str, via: str) -> Principal | None:
        if len(secret) > MAX_CREDENTIAL_CHARACTERS:
            return None
        wanted = hash_of(secret)
        for found in await self._read.records(query, wanted):
            if hmac.compare_digest(found["secret_hash"], wanted):
                role = min(Role.of(found["role"]), Role.of(found["user_role"]))
                return Principal(found["login"], role, via, found["must_change"])
        return None

    async def _touch(self, token_hash: bytes) -> None:
        """Notes the use of a token, at most once a minute. The memory of that holds live tokens only."""
        now_s = time.monotonic()
        if now_s - self._touched_s.get(token_hash, -TOUCH_AFTER_S) < TOUCH_AFTER_S:
            return
        self._touched_s = {key: at for key, at in self._touched_s.items() if now_s - at < TOUCH_AFTER_S}
        self._touched_s[token_hash] = now_s
        async with self._write.transaction() as connection:
            await connection.execute("UPDATE api_tokens SET last_used_at = now() WHERE token_hash = $1", token_hash)

    async def logout(self, token: str) -> None:
        """Ends a session; a session that is none changes nothing."""
        async with self._write.transaction() as connection:
            login = await connection.fetchval(
                "DELETE FROM sessions WHERE session_hash = $1 RETURNING login", hash_of(token)
            )
            if login is not None:
                await audit(connection, login, "logout", login, {})

    async def change_password(self, login: str, current: str, new: str, address: str) -> None:
        """Also ends all sessions of the user. Raises CredentialsError, ThrottledError or RequestError."""
        check_new_password(new)
        await self._check(login, current, address)
        if hmac.compare_digest(current.encode("utf-8", "replace"), new.encode("utf-8", "replace")):
            raise RequestError("the new password must differ from the current one")
        await set_password(self._write, login, new, actor=login, must_change=False)


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
