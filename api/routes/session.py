"""Logging in and out: JSON for programs under /api/v1, forms for the pages."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from api.auth import MAX_CREDENTIAL_CHARACTERS
from api.guard import COOKIE, secure_cookie
from api.passwords import MAX_CHARACTERS
from api.roles import CredentialsError, Principal, ThrottledError, UnauthenticatedError
from api.routes.asking import Context, Viewer
from metering.errors import RequestError, UnavailableError

rest = APIRouter(tags=["session"])
forms = APIRouter(include_in_schema=False)

UNKNOWN_ADDRESS = "unknown"


class LoginRequest(BaseModel):
    login: str = Field(min_length=1, max_length=MAX_CREDENTIAL_CHARACTERS, examples=["admin"])
    password: str = Field(max_length=MAX_CHARACTERS)


class PasswordChange(BaseModel):
    current: str = Field(max_length=MAX_CHARACTERS)
    password: str = Field(max_length=MAX_CHARACTERS)


class WhoAmI(BaseModel):
    login: str
    role: str = Field(examples=["operator"])
    must_change: bool = Field(description="Has a one-time password and may do nothing but change it")


def _address(request: Request) -> str:
    return request.client.host if request.client else UNKNOWN_ADDRESS


def _who(principal: Principal) -> WhoAmI:
    return WhoAmI(login=principal.login, role=principal.role.label, must_change=principal.must_change)


def _set_cookie(context: Context, response: Response, token: str) -> None:
    response.set_cookie(
        COOKIE, token, max_age=round(context.settings.session_h * 3600), **secure_cookie(context.settings)
    )


@rest.post("/session", summary="Log in; the answer sets the session cookie")
async def log_in(context: Context, request: Request, response: Response, body: LoginRequest) -> WhoAmI:
    token = await context.auth.verify_login(body.login, body.password, _address(request))
    principal = await context.auth.session_of(token)
    if principal is None:
        raise UnauthenticatedError("the session ended at once: was the user locked?")
    _set_cookie(context, response, token)
    return _who(principal)


@rest.get("/session", summary="Who is asking")
async def who_am_i(viewer: Viewer) -> WhoAmI:
    return _who(viewer)


@rest.delete("/session", status_code=204, summary="Log out")
async def log_out(context: Context, _viewer: Viewer, request: Request, response: Response) -> None:
    await _end(context, request, response)


@rest.post("/password", status_code=204, summary="Change one's own password; ends all sessions of the user")
async def change_password(context: Context, viewer: Viewer, request: Request, body: PasswordChange) -> None:
    await context.auth.change_password(viewer.login, body.current, body.password, _address(request))


@forms.post("/login")
async def log_in_by_form(
    context: Context,
    request: Request,
    login: Annotated[str, Form(max_length=1000)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    target: Annotated[str, Form(alias="next", max_length=2000)] = "/",
) -> Response:
    try:
        token = await context.auth.verify_login(login, password, _address(request))
    except (CredentialsError, ThrottledError, UnavailableError) as error:
        return RedirectResponse(f"/login?error={error.label}&next={quote(local(target), safe='/')}", 303)
    response = RedirectResponse(local(target), 303)
    _set_cookie(context, response, token)
    return response


@forms.post("/password")
async def change_password_by_form(
    context: Context,
    viewer: Viewer,
    request: Request,
    current: Annotated[str, Form(max_length=1000)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """A person who changed the password goes on with a new session."""
    try:
        await context.auth.change_password(viewer.login, current, password, _address(request))
        token = await context.auth.verify_login(viewer.login, password, _address(request))
    except (CredentialsError, ThrottledError, UnavailableError) as error:
        return RedirectResponse(f"/password?error={error.label}", 303)
    except RequestError:
        return RedirectResponse("/password?error=weak", 303)
    response = RedirectResponse("/", 303)
    _set_cookie(context, response, token)
    return response


@forms.post("/logout")
async def log_out_by_form(context: Context, _viewer: Viewer, request: Request) -> Response:
    response = RedirectResponse("/login", 303)
    await _end(context, request, response)
    return response


async def _end(context: Context, request: Request, response: Response) -> None:
    if (token := request.cookies.get(COOKIE)) is not None:
        await context.auth.logout(token)
    response.delete_cookie(COOKIE, **secure_cookie(context.settings))


def local(target: str) -> str:
    """A path on this very site; anything else becomes the first page, so that nobody is sent elsewhere."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and "\\" not in target else "/"
