"""For whoever runs the program: alive, ready, metrics."""

from __future__ import annotations

import asyncio
import ipaddress

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from api.database import schema_version
from api.roles import Role
from api.routes.asking import Context, require
from metering.errors import UnavailableError
from metering.schema_version import SCHEMA_VERSION

router = APIRouter(tags=["health"])

CHECK_TIMEOUT_S = 3.0


class Readiness(BaseModel):
    ready: bool = Field(description="Database and schema are as they must be")
    database: str = Field(examples=["ok", "away"])
    db_schema: str = Field(examples=["ok", "4, needs 5"], description="Version of the database's schema")
    stream: str = Field(
        examples=["ok", "away"],
        description="Does not decide readiness: without it only the reports in flight are unknown",
    )


@router.get("/healthz", response_class=PlainTextResponse, summary="The process runs")
async def healthz() -> str:
    return "alive\n"


@router.get("/readyz", response_model=Readiness, summary="It can do its work; 503 when not")
async def readyz(context: Context) -> JSONResponse:
    (database, schema), stream = await asyncio.gather(_database(context), context.stream.stream_answers())
    ready = database == schema == "ok"
    body = Readiness(ready=ready, database=database, db_schema=schema, stream="ok" if stream else "away")
    return JSONResponse(body.model_dump(), 200 if ready else 503)


async def _database(context: Context) -> tuple[str, str]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            version = await schema_version(context.read)
    except (UnavailableError, TimeoutError):
        return "away", "unknown"
    return "ok", "ok" if version == SCHEMA_VERSION else f"{version}, needs {SCHEMA_VERSION}"


@router.get("/metrics", include_in_schema=False)
async def metrics(context: Context, request: Request) -> Response:
    """Prometheus text. Programs on this host read it freely; others, and all behind a proxy, need a viewer's token."""
    if context.settings.behind_tls_proxy or not _is_loopback(request):
        require(Role.VIEWER)(request)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
