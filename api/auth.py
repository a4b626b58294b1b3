"""Who is asking and what they may do: logins with sessions for people, tokens for programs.

The database holds only SHA-256 of session and token secrets; 256 random bits need no slow hash. Comparisons are by
`hmac.compare_digest`. A token never has more rights than its user.
"""

from __future__ import annotations

import hmac
import secrets
import time

from prometheus_client import Counter, Gauge

from api.accounts import SECRET_BYTES, TOKEN_PREFIX, hash_of, set_password
from api.audit import audit
from api.database import ReadPool, WritePool
from api.passwords import check_new_password, password_matches
from api.roles import CredentialsError, Principal, Role, ThrottledError
from api.throttle import LoginThrottle
from metering.errors import RequestError

MAX_CREDENTIAL_CHARACTERS = 128
MAX_SESSIONS_PER_LOGIN = 50
TOUCH_AFTER_S = 60.0

THROTTLE_ENTRIES = Gauge("nbwater_api_login_failures_entries", "Logins and addresses with failed logins in memory")
LOGINS = Counter("nbwater_api_logins_total", "Login attempts by result", ["result"])


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
        THROTTLE_ENTRIES.set(len(self._throttle))
        stored: str | None = None
        if login.isprintable():
            stored = await self._read.value("SELECT password_hash FROM users WHERE login = $1 AND enabled", login)
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
