"""What the api measures of itself."""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("nbwater_api_requests_total", "Answered requests", ["method", "route", "status"])
SECONDS = Histogram(
    "nbwater_api_request_seconds", "Time until an answer was complete", ["route"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
)  # fmt: skip
OPEN = Gauge("nbwater_api_open_requests", "Requests being answered, websockets included")
REST_PREFIX = "/api/v1"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measured:
    """ASGI middleware. Routes are labelled by their template, so that labels stay few."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        status = "none"

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        started = time.perf_counter()
        with OPEN.track_inprogress():
            await self._app(scope, receive, noting)
        if scope["type"] == "http":
            route = _route_of(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUESTS.labels(method, route, status).inc()
            SECONDS.labels(route).observe(time.perf_counter() - started)


def _route_of(scope: Scope) -> str:
    """The template of the route that answered; FastAPI leaves out the prefix its router was included with."""
    template: str = getattr(scope.get("route"), "path", "") or "other"
    rest = scope["path"].startswith(f"{REST_PREFIX}/") and template.startswith("/")
    return f"{REST_PREFIX}{template.removeprefix(REST_PREFIX)}" if rest else template
