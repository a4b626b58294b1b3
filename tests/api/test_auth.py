"""Logins, sessions, tokens, the first administrator."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx
import pytest

from api.accounts import create_token, create_user, ensure_first_administrator, revoke_token, set_password, update_user
from api.auth import Auth
from api.context import PageContext
from api.database import ReadPool, WritePool
from api.roles import CredentialsError, Role, ThrottledError
from api.throttle import FREE_FAILURES_PER_ADDRESS, FREE_FAILURES_PER_LOGIN
from metering.errors import ConflictError, NotFoundError, RequestError
from tests.api.conftest import PASSWORD

HERE = "127.0.0.1"


async def test_login_session_logout(context: PageContext) -> None:
    token = await context.auth.verify_login("admin", PASSWORD, HERE)
    principal = await context.auth.session_of(token)
    assert principal is not None
    assert (principal.login, principal.role, principal.via) == ("admin", Role.ADMINISTRATOR, "session")
    await context.auth.logout(token)
    assert await context.auth.session_of(token) is None


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("admin", "wrong"),
        ("nobody", PASSWORD),
        ("", ""),
        ("a\0b", PASSWORD),
        ("admin", "x" * 5000),
        ("\ud800", "\ud800"),
    ],
)
async def test_wrong_credentials_say_nothing_more(context: PageContext, login: str, password: str) -> None:
    with pytest.raises(CredentialsError, match="login or password is wrong"):
        await context.auth.verify_login(login, password, HERE)


async def test_neither_secret_nor_password_is_in_the_database(context: PageContext, database_url: str) -> None:
    session = await context.auth.verify_login("admin", PASSWORD, HERE)
    token = await create_token(context.write, "t", "admin", Role.VIEWER, actor="test")
    connection = await asyncpg.connect(database_url)
    for table in ("users", "sessions", "api_tokens", "audit_log"):
        for row in await connection.fetch(f"SELECT {table}::text FROM {table}"):
            assert not any(secret in row[0] for secret in (session, token, PASSWORD))
    stored = await connection.fetchval("SELECT password_hash FROM users")
    await connection.close()
    assert stored.startswith("$argon2id$")


async def test_failures_are_throttled_per_login(context: PageContext) -> None:
    for _ in range(FREE_FAILURES_PER_LOGIN):
        with pytest.raises(CredentialsError):
            await context.auth.verify_login("admin", "wrong", HERE)
    with pytest.raises(ThrottledError) as refused:
        await context.auth.verify_login("admin", PASSWORD, "192.0.2.1")
    assert 0 < refused.value.retry_after_s <= 2


async def test_many_tries_at_once_are_throttled_too(context: PageContext) -> None:
    tries = [context.auth.verify_login("admin", "wrong", HERE) for _ in range(3 * FREE_FAILURES_PER_LOGIN)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, CredentialsError) for result in results) == FREE_FAILURES_PER_LOGIN


async def test_failures_are_throttled_per_address(context: PageContext) -> None:
    for number in range(FREE_FAILURES_PER_ADDRESS):
        with pytest.raises(CredentialsError):
            await context.auth.verify_login(f"user{number}", "wrong", HERE)
    with pytest.raises(ThrottledError):
        await context.auth.verify_login("admin", PASSWORD, HERE)
    assert await context.auth.verify_login("admin", PASSWORD, "192.0.2.1")


async def test_good_logins_are_never_throttled(context: PageContext) -> None:
    for _ in range(FREE_FAILURES_PER_ADDRESS + 2):
        await context.auth.verify_login("admin", PASSWORD, HERE)


async def test_throttling_is_said_to_clients(stranger: httpx.AsyncClient) -> None:
    body = {"login": "admin", "password": "wrong"}
    for _ in range(FREE_FAILURES_PER_LOGIN):
        assert (await stranger.post("/api/v1/session", json=body)).json()["code"] == "credentials"
    answer = await stranger.post("/api/v1/session", json=body)
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert int(answer.headers["retry-after"]) >= 1
    form = await stranger.post("/login", data={**body, "next": "/meters/1"})
    assert form.headers["location"] == "/login?error=throttled&next=/meters/1"


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post("/api/v1/session", json={"login": "admin", "password": PASSWORD})
    attributes = answer.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= set(attributes)


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "a"]
)
async def test_a_login_sends_nobody_elsewhere(stranger: httpx.AsyncClient, target: str) -> None:
    answer = await stranger.post("/login", data={"login": "admin", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


async def test_sessions_end_with_time_lock_and_new_password(read: ReadPool, write: WritePool) -> None:
    await create_user(write, "li", Role.VIEWER, PASSWORD, actor="test")
    await create_user(write, "boss", Role.ADMINISTRATOR, PASSWORD, actor="test")
    brief, lasting = Auth(read, write, -1), Auth(read, write, 3600)
    assert await lasting.session_of(await brief.verify_login("li", PASSWORD, HERE)) is None
    locked = await lasting.verify_login("li", PASSWORD, HERE)
    await update_user(write, "li", role=None, enabled=False, password=None, actor="test")
    assert await lasting.session_of(locked) is None
    with pytest.raises(CredentialsError):
        await lasting.verify_login("li", PASSWORD, HERE)
    old = await lasting.verify_login("boss", PASSWORD, HERE)
    await set_password(write, "boss", "another-password", actor="test", must_change=False)
    assert await lasting.session_of(old) is None


async def test_a_token_lives_until_it_is_revoked_and_has_its_users_rights_at_most(context: PageContext) -> None:
    await create_user(context.write, "li", Role.OPERATOR, PASSWORD, actor="test")
    token = await create_token(context.write, "t", "li", Role.ADMINISTRATOR, actor="test")
    principal = await context.auth.token_of(token)
    assert principal is not None
    assert (principal.role, principal.via) == (Role.OPERATOR, "token")
    assert await context.auth.session_of(token) is None
    with pytest.raises(ConflictError):
        await create_token(context.write, "t", "li", Role.VIEWER, actor="test")
    with pytest.raises(NotFoundError):
        await create_token(context.write, "u", "nobody", Role.VIEWER, actor="test")
    await revoke_token(context.write, "t", actor="test")
    assert await context.auth.token_of(token) is None


async def test_the_first_administrator_is_made_once(write: WritePool, read: ReadPool) -> None:
    made = await asyncio.gather(*(ensure_first_administrator(write, "") for _ in range(2)))
    (password,) = [one for one in made if one is not None]
    auth = Auth(read, write, 3600)
    principal = await auth.session_of(await auth.verify_login("admin", password, HERE))
    assert principal is not None
    assert principal.must_change
    assert await ensure_first_administrator(write, "an-injected-password") is None
    with pytest.raises(RequestError):
        await ensure_first_administrator(write, "short")


async def test_an_injected_password_need_not_be_changed(context: PageContext) -> None:
    principal = await context.auth.session_of(await context.auth.verify_login("admin", PASSWORD, HERE))
    assert principal is not None
    assert not principal.must_change
