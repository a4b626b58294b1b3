"""Errors as REST clients see them: `application/problem+json` (RFC 9457) with a stable `code` and a message."""

from __future__ import annotations

import http
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.roles import ThrottledError
from metering.errors import ImportRowsError, NbwaterError

log = structlog.get_logger()

MAX_ERRORS = 20
_CODES = {404: "not_found", 405: "method_not_allowed"}


class FieldError(BaseModel):
    field: str = Field(examples=["query.limit"])
    message: str = Field(examples=["Input should be less than or equal to 500"])


class Problem(BaseModel):
    """`code` is stable and meant for programs; `message` is for people and may change."""

    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["no meter has the serial 434045073902"])
    errors: list[FieldError] = Field(default_factory=list, description="What is wrong with which parameter")


def problem(
    status: int, code: str, message: str, errors: list[FieldError] | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = Problem(title=http.HTTPStatus(status).phrase, status=status, code=code, message=message, errors=errors or [])
    return JSONResponse(body.model_dump(), status, headers, media_type="application/problem+json")


def of_error(error: NbwaterError) -> JSONResponse:
    headers: dict[str, str] = {}
    if isinstance(error, ThrottledError):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if error.http == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="nbwater"'
    rows = error.rows[:MAX_ERRORS] if isinstance(error, ImportRowsError) else []
    errors = [FieldError(field=f"line {line}: {field}".removesuffix(": "), message=why) for line, field, why in rows]
    return problem(error.http, error.label, str(error), errors, headers)


def install(app: FastAPI) -> None:
    """Every error an app answers with becomes a Problem."""

    async def own(request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, NbwaterError):
            raise error
        if error.http >= 500:
            log.warning("request_failed", path=request.url.path, error=error.label, detail=str(error))
        return of_error(error)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        found: list[Any] = list(error.errors()) if isinstance(error, RequestValidationError) else []
        errors = [
            FieldError(field=".".join(map(str, item["loc"])), message=str(item["msg"])) for item in found[:MAX_ERRORS]
        ]
        names = ", ".join(dict.fromkeys(item.field for item in errors))
        return problem(422, "validation", f"cannot be used: {names or 'the request'}", errors)

    async def plain(_request: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, HTTPException):
            raise error
        code = _CODES.get(error.status_code, "request")
        return problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("request_broke", path=request.url.path, exc_info=error)
        return problem(500, "error", "an error on our side; it is in the log", headers={"Cache-Control": "no-store"})

    app.add_exception_handler(NbwaterError, own)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(Exception, unexpected)
