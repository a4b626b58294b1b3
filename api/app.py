"""The web application: guard, REST routes, errors. Pages are mounted by whoever composes the program."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from api import problems
from api.context import PageContext
from api.guard import Guard
from api.metrics import REST_PREFIX, Measured
from api.routes import (
    accounting,
    alerts,
    amendments,
    billing,
    campaigns,
    commands,
    completeness,
    districts,
    health,
    keys,
    meters,
    path,
    people,
    pushers,
    session,
    strangers,
    suppressions,
)
from api.routes.asking import give

_DESCRIPTION = """\
Reads meters, readings, consumption, alerts and the accounting of reports; takes what people decide about alerts.

Send a token as `Authorization: Bearer nbw_…`. Lists are read page by page: pass `next_cursor` of one answer as `cursor`
of the next request. Volumes are whole millilitres, instants are UTC with offset, days are days of the utility's time
zone. Errors are `application/problem+json` with a stable `code`.
"""

_TAGS = [
    {"name": "meters", "description": "Meters, their readings, consumption and reports"},
    {"name": "amendments", "description": "Readings that people gave or took away, with their reasons"},
    {"name": "billing", "description": "Periods that are billed, their entries, and what was corrected afterwards"},
    {"name": "completeness", "description": "Expected against received readings by zone and day; outages"},
    {"name": "keys", "description": "Keys of devices: made, replaced and ended by engineers, read by nobody"},
    {"name": "pushers", "description": "Push products, and for which devices they may speak"},
    {"name": "strangers", "description": "Unknown devices that knocked"},
    {"name": "districts", "description": "Water balance of zones with inlet meters"},
    {"name": "alerts", "description": "What somebody should look at, and what was decided about it"},
    {"name": "commands", "description": "What meters are told to do, and what became of it"},
    {"name": "campaigns", "description": "Firmware for many meters, wave after wave"},
    {"name": "accounting", "description": "What became of every report; dead letters; figures of the first page"},
    {"name": "path", "description": "The data path, stage by stage, and the way of one report through it"},
    {"name": "session", "description": "Logging in and out"},
    {"name": "people", "description": "Users and API tokens (administrators)"},
    {"name": "health", "description": "For whoever runs the program"},
]


_BEARER = HTTPBearer(auto_error=False, description="`nbw_…`; browsers use the session cookie instead")
"""Only described here: the guard is who checks."""


def create_app(context: PageContext) -> FastAPI:
    """The application without pages; `api.pages.mount` adds those."""
    app = FastAPI(
        title="nbwater",
        version="1",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        openapi_url=f"{REST_PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's page loads its scripts from the internet
        redoc_url=None,
        responses={
            code: {"model": problems.Problem, "description": "Problem"} for code in (400, 401, 403, 404, 409, 422, 503)
        },
    )
    give(app, context)
    problems.install(app)
    routers = (
        meters.router, amendments.router, billing.router, completeness.router, keys.router, pushers.router,
        strangers.router, alerts.router, suppressions.router, districts.router, commands.router, campaigns.router,
        accounting.router, path.router, session.rest, people.router,
    )  # fmt: skip
    for rest in routers:
        app.include_router(rest, prefix=REST_PREFIX, dependencies=[Depends(_BEARER)])
    app.include_router(session.forms)
    app.include_router(health.router)
    app.add_middleware(Guard, auth=context.auth, settings=context.settings)
    app.add_middleware(Measured)
    return app
