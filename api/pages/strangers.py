"""Addresses open to strangers that lead nowhere.

Without these routes they would fall through to the pages, which take every path that is left and need somebody who
is logged in: each such request would make a page, its state on the server, and a failure.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.guard import PUBLIC_PREFIXES
from api.problems import of_error
from metering.errors import NotFoundError

router = APIRouter(include_in_schema=False)


async def nothing(request: Request) -> Response:
    return of_error(NotFoundError(f"there is nothing at {request.url.path}"))


for path in ("/favicon.ico", *(f"{prefix}{{rest:path}}" for prefix in PUBLIC_PREFIXES)):
    router.add_api_route(path, nothing, methods=["GET", "HEAD"])
