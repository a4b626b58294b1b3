"""The door to everything the api serves: who is asking, is it really their browser, and how answers are protected.

Order per request: bounds → public paths → credentials → cross-site check → one-time password → the app. Roles are
checked by the routes, which know what they do. NiceGUI's websocket passes here like everything else.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accounts import TOKEN_PREFIX
from api.auth import Auth
from api.problems import of_error, problem
from api.roles import Principal, UnauthenticatedError
from metering.errors import UnavailableError
from metering.settings import ApiSettings

COOKIE = "nbwater_session"
MAX_BODY_BYTES = 1024 * 1024
SESSION_CHECK_S = 20.0
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC_PATHS = frozenset({"/login", "/healthz", "/readyz", "/metrics", "/favicon.ico", "/api/v1/session"})
"""Reached without credentials. /metrics and /api/v1/session check themselves."""
PUBLIC_PREFIXES = ("/theme/", "/preferences/")
"""What the login form needs: its style sheet and the choice of language; nothing else may be mounted there."""
CHANGE_PASSWORD_PATHS = frozenset({"/password", "/logout", "/api/v1/password", "/api/v1/session"})

_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    # NiceGUI compiles its templates in the browser (Vue) and starts from an inline script: hence both unsafe-*.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware. Puts the `Principal` (or None on public paths) into ``scope["state"]["principal"]``."""

    def __init__(self, app: ASGIApp, auth: Auth, settings: ApiSettings) -> None:
        self._app, self._auth, self._settings = app, auth, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        send = self._with_headers(scope, send)
        scope.setdefault("state", {})["principal"] = None
        refusal = await self._refusal(scope)
        if refusal is None:
            if scope["type"] == "websocket":
                receive = self._while_logged_in(scope, receive)
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        """What to answer instead of serving; None when the request may pass."""
        connection = HTTPConnection(scope)
        if (bad := _out_of_bounds(scope, connection)) is not None:
            return bad
        try:
            principal = await self._identify(connection)
        except UnavailableError as error:
            return None if _is_public(scope["path"]) else of_error(error)
        scope["state"]["principal"] = principal
        if not self._same_site(scope, connection, principal):
            return problem(403, "cross_site", "this request comes from another site")
        if principal is None:
            return None if _is_public(scope["path"]) else _ask_to_log_in(scope)
        if principal.must_change and not (_is_public(scope["path"]) or scope["path"] in CHANGE_PASSWORD_PATHS):
            return _ask_to_change(scope)
        return None

    async def _identify(self, connection: HTTPConnection) -> Principal | None:
        """A bearer token counts alone: a cookie sent with it is not looked at."""
        authorization = connection.headers.get("authorization")
        if authorization is not None:
            scheme, _, credential = authorization.partition(" ")
            if scheme.lower() != "bearer" or not credential.startswith(TOKEN_PREFIX):
                return None
            return await self._auth.token_of(credential.strip())
        cookie = connection.cookies.get(COOKIE)
        return await self._auth.session_of(cookie) if cookie else None

    def _same_site(self, scope: Scope, connection: HTTPConnection, principal: Principal | None) -> bool:
        """Whether a cookie-borne request that changes something, or a websocket, comes from our own pages.

        A login without a cookie is checked too when a browser says where it comes from.
        """
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return True
        if principal is not None and principal.via == "token":
            return True
        origin = connection.headers.get("origin")
        if origin is not None:
            return urlsplit(origin).netloc.lower() in self._own_hosts(connection)
        return principal is None or connection.headers.get("sec-fetch-site") == "same-origin"

    def _own_hosts(self, connection: HTTPConnection) -> set[str]:
        hosts = {connection.headers.get("host", "").lower()}
        if self._settings.behind_tls_proxy:
            hosts.add(connection.headers.get("x-forwarded-host", "").lower())
        return hosts - {""}

    def _while_logged_in(self, scope: Scope, receive: Receive) -> Receive:
        """A websocket ends with its session: looked up again now and then, as messages (pings at least) come in."""
        checked_s = time.monotonic()

        async def checked() -> Message:
            nonlocal checked_s
            message = await receive()
            if time.monotonic() - checked_s < SESSION_CHECK_S:
                return message
            checked_s = time.monotonic()
            try:
                principal = await self._identify(HTTPConnection(scope))
            except UnavailableError:
                return message
            return (
                message if principal == scope["state"]["principal"] else {"type": "websocket.disconnect", "code": 1008}
            )

        return checked

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        is_api = scope["path"].startswith("/api/")

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _COMMON.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _API_POLICY if is_api else _PAGE_POLICY)
                if not scope["path"].startswith(("/_nicegui/", *PUBLIC_PREFIXES)):
                    headers.setdefault("Cache-Control", "no-store")
                if self._settings.tls_certificate or self._settings.behind_tls_proxy:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        return protected


def secure_cookie(settings: ApiSettings) -> dict[str, Any]:
    """Attributes of the session cookie, without name and value."""
    return {
        "httponly": True,
        "samesite": "strict",
        "secure": bool(settings.tls_certificate or settings.behind_tls_proxy),
        "path": "/",
    }


def _is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)


def _out_of_bounds(scope: Scope, connection: HTTPConnection) -> Response | None:
    if b"%00" in scope.get("query_string", b"") or "\0" in scope["path"]:
        return problem(400, "request", "a request holds no NUL characters")
    if scope["type"] != "http":
        return None
    length = connection.headers.get("content-length")
    if length is None and "transfer-encoding" in connection.headers:
        return problem(411, "length_required", "a request body needs a Content-Length")
    if length is not None and not (length.isdecimal() and int(length[:12]) <= MAX_BODY_BYTES):
        return problem(413, "too_large", f"a request body is limited to {MAX_BODY_BYTES} bytes")
    return None


def _ask_to_log_in(scope: Scope) -> Response:
    if scope["path"].startswith(("/api/", "/_nicegui")) or scope.get("method") not in SAFE_METHODS:
        return of_error(UnauthenticatedError("log in, or send a token as `Authorization: Bearer nbw_…`"))
    target = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    return RedirectResponse("/login" if target == "/" else f"/login?next={quote(target, safe='/')}", 303)


def _ask_to_change(scope: Scope) -> Response:
    if scope["path"].startswith(("/api/", "/_nicegui")) or scope.get("method") not in SAFE_METHODS:
        return problem(403, "password_change_required", "change the one-time password first: POST /api/v1/password")
    return RedirectResponse("/password", 303)
