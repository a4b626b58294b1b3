"""Nobody gets in: every route by every role, browsers of other sites, one-time passwords, headers."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope, Send

from api.accounts import create_user
from api.context import PageContext
from api.database import WritePool
from api.guard import COOKIE, Guard
from api.roles import Role
from api.routes import accounting, alerts, health, meters, people, session
from tests.api.conftest import ORIGIN, PASSWORD, Seed, client_of, token_for

OPEN_TO_STRANGERS = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/login"),
    ("POST", "/session"),
}
BY_ROLE = {
    ("POST", "/alerts/{alert_id}/acknowledge"): Role.OPERATOR,
    ("POST", "/alerts/{alert_id}/resolve"): Role.OPERATOR,
    ("POST", "/alerts/{alert_id}/dismiss"): Role.OPERATOR,
    ("GET", "/users"): Role.ADMINISTRATOR,
    ("POST", "/users"): Role.ADMINISTRATOR,
    ("PATCH", "/users/{login}"): Role.ADMINISTRATOR,
    ("GET", "/tokens"): Role.ADMINISTRATOR,
    ("POST", "/tokens"): Role.ADMINISTRATOR,
    ("DELETE", "/tokens/{name}"): Role.ADMINISTRATOR,
}
VALUES = {"serial": "210000000001", "alert_id": "1", "report_id": "x", "dead_letter_id": "1", "login": "a", "name": "a"}


def routes() -> list[tuple[str, str, str, APIRoute]]:
    """Method, template, address and route of everything the api serves itself."""
    found = []
    for prefix, router in [
        ("/api/v1", meters.router), ("/api/v1", alerts.router), ("/api/v1", accounting.router),
        ("/api/v1", session.rest), ("/api/v1", people.router), ("", session.forms), ("", health.router),
    ]:  # fmt: skip
        for route in router.routes:
            assert isinstance(route, APIRoute)
            found += [
                (method, route.path, prefix + route.path.format(**VALUES), route) for method in sorted(route.methods)
            ]
    return found


def needed(route: APIRoute) -> Role | None:
    """The role a route's own dependency asks for."""
    return next((d.call.needs for d in route.dependant.dependencies if hasattr(d.call, "needs")), None)


def test_the_table_names_every_route_once() -> None:
    listed = {(method, template) for method, template, _, _ in routes()}
    assert set(BY_ROLE) | OPEN_TO_STRANGERS <= listed


@pytest.mark.parametrize(("method", "template", "address", "route"), routes(), ids=lambda value: str(value)[:40])
def test_each_route_asks_for_its_role(method: str, template: str, address: str, route: APIRoute) -> None:
    expected = None if (method, template) in OPEN_TO_STRANGERS else BY_ROLE.get((method, template), Role.VIEWER)
    assert needed(route) is expected


async def test_no_route_answers_a_stranger(stranger: httpx.AsyncClient) -> None:
    for method, template, address, _ in routes():
        if (method, template) in OPEN_TO_STRANGERS:
            continue
        answer = await stranger.request(method, address)
        assert answer.status_code == 401, (method, address)
        assert answer.json()["code"] == "unauthenticated"


async def test_the_description_of_the_api_is_not_for_strangers(
    stranger: httpx.AsyncClient, viewer: httpx.AsyncClient
) -> None:
    assert (await stranger.get("/api/v1/openapi.json")).status_code == 401
    described = (await viewer.get("/api/v1/openapi.json")).json()
    assert "security" in described["paths"]["/api/v1/meters/{serial}/consumption"]["get"]


@pytest.mark.parametrize("role", list(Role))
async def test_roles(app: FastAPI, context: PageContext, write: WritePool, seeded: Seed, role: Role) -> None:
    token = await token_for(write, role)
    async with client_of(app, Authorization=f"Bearer {token}") as client:
        for method, template, address, _ in routes():
            if (method, template) in OPEN_TO_STRANGERS:
                continue
            answer = await client.request(method, address)
            allowed = role >= BY_ROLE.get((method, template), Role.VIEWER)
            assert (answer.status_code == 403) is not allowed, (role, method, address, answer.text)
            assert answer.status_code not in (401, 500), (method, address, answer.text)


async def test_a_page_sends_strangers_to_the_login(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/meters/1?tab=reports")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/meters/1%3Ftab%3Dreports")
    assert (await stranger.get("/")).headers["location"] == "/login"


@pytest.mark.parametrize("credential", ["Bearer nbw_wrong", "Bearer x", "Basic YTpi", "Bearer nbw_" + "x" * 999])
async def test_bad_credentials_are_none(stranger: httpx.AsyncClient, credential: str) -> None:
    assert (await stranger.get("/api/v1/meters", headers={"Authorization": credential})).status_code == 401
    assert (await stranger.get("/api/v1/meters", headers={"Cookie": f"{COOKIE}=wrong"})).status_code == 401


async def test_websockets_need_a_session_of_our_own_pages(app: FastAPI, context: PageContext) -> None:
    session_token = await context.auth.verify_login("admin", PASSWORD, "127.0.0.1")
    assert await websocket_refused(app, {})
    assert await websocket_refused(app, {"cookie": f"{COOKIE}={session_token}"})
    assert await websocket_refused(app, {"cookie": f"{COOKIE}={session_token}", "origin": "http://evil.example"})
    assert not await websocket_refused(app, {"cookie": f"{COOKIE}={session_token}", "origin": ORIGIN})


async def websocket_refused(app: FastAPI, headers: dict[str, str]) -> bool:
    """Whether the guard closed it; what it lets through ends at the router, which knows no such route."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(b"host", b"testserver")] + [(name.encode(), value.encode()) for name, value in headers.items()]
    path = "/_nicegui_ws/socket.io/"
    await app({
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": raw,
        "subprotocols": [], "scheme": "ws", "server": ("testserver", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }, receive, send)  # fmt: skip
    return sent[0].get("code") == 1008


async def test_a_websocket_ends_with_its_session(context: PageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.guard.SESSION_CHECK_S", 0.0)
    got: list[Message] = []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        got.append(await receive())
        await context.auth.logout(session_token)
        got.append(await receive())

    async def receive() -> Message:
        return {"type": "websocket.receive", "text": "2"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    session_token = await context.auth.verify_login("admin", PASSWORD, "127.0.0.1")
    headers = [
        (b"host", b"testserver"),
        (b"origin", ORIGIN.encode()),
        (b"cookie", f"{COOKIE}={session_token}".encode()),
    ]
    scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "query_string": b"", "headers": headers}
    await Guard(page, context.auth, context.settings)(scope, receive, send)
    assert [message["type"] for message in got] == ["websocket.receive", "websocket.disconnect"]


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Origin": ORIGIN}, True),
        ({"Origin": "http://TESTSERVER"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://testserver.evil.example"}, False),
        ({"Origin": "http://testserver:81"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
async def test_what_changes_something_must_come_from_our_own_pages(
    app: FastAPI, context: PageContext, headers: dict[str, str], passes: bool
) -> None:
    cookie = f"{COOKIE}={await context.auth.verify_login('admin', PASSWORD, '127.0.0.1')}"
    async with client_of(app, Cookie=cookie) as client:
        assert (await client.get("/api/v1/session")).status_code == 200
        answer = await client.delete("/api/v1/session", headers=headers)
        assert answer.status_code == (204 if passes else 403)
        assert passes or answer.json()["code"] == "cross_site"


async def test_another_site_cannot_log_a_browser_in(stranger: httpx.AsyncClient) -> None:
    form = {"login": "admin", "password": PASSWORD}
    assert (await stranger.post("/login", data=form, headers={"Origin": "http://evil.example"})).status_code == 403
    assert (await stranger.post("/login", data=form)).headers["location"] == "/"


async def test_a_one_time_password_opens_only_its_change(app: FastAPI, context: PageContext) -> None:
    await create_user(context.write, "new", Role.OPERATOR, PASSWORD, actor="test")
    cookie = f"{COOKIE}={await context.auth.verify_login('new', PASSWORD, '127.0.0.1')}"
    async with client_of(app, Cookie=cookie, Origin=ORIGIN) as client:
        assert (await client.get("/api/v1/meters")).json()["code"] == "password_change_required"
        assert (await client.get("/")).headers["location"] == "/password"
        assert (await client.get("/api/v1/session")).json() == {"login": "new", "role": "operator", "must_change": True}
        weak = await client.post("/password", data={"current": PASSWORD, "password": "short"})
        assert weak.headers["location"] == "/password?error=weak"
        wrong = await client.post("/password", data={"current": "wrong-password", "password": "a-new-password"})
        assert wrong.headers["location"] == "/password?error=credentials"
        changed = await client.post("/password", data={"current": PASSWORD, "password": "a-new-password"})
        assert changed.headers["location"] == "/"
        assert (await client.get("/api/v1/meters")).status_code == 401, "the old session is over"
    fresh = changed.headers["set-cookie"].split(";")[0]
    async with client_of(app, Cookie=fresh) as client:
        assert (await client.get("/api/v1/meters")).status_code == 200


async def test_headers_protect_every_answer(stranger: httpx.AsyncClient, viewer: httpx.AsyncClient) -> None:
    for answer in [await stranger.get("/healthz"), await stranger.get("/x"), await viewer.get("/api/v1/meters")]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


async def test_bounds_of_a_request(viewer: httpx.AsyncClient) -> None:
    assert (await viewer.get("/api/v1/meters?search=a%00b")).status_code == 400
    assert (await viewer.get("/api/v1/meters/%00")).status_code == 400
    assert (await viewer.post("/api/v1/password", content=b"x" * (1 << 20 | 1))).status_code == 413

    async def chunks():
        yield b"x"

    assert (await viewer.post("/api/v1/password", content=chunks())).status_code == 411
