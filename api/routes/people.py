"""Users and API tokens: administrators only."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.accounts import create_token, create_user, revoke_token, update_user
from api.passwords import MAX_CHARACTERS
from api.queries.people import TokenRow, UserRow, list_tokens, list_users
from api.roles import Role
from api.routes.asking import Administrator, Context

router = APIRouter(tags=["people"])

NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
RoleName = Literal["viewer", "operator", "engineer", "administrator"]
Login = Annotated[str, Path(pattern=NAME)]


class NewUser(BaseModel):
    login: str = Field(pattern=NAME, examples=["li.wei"])
    role: RoleName
    password: str = Field(max_length=MAX_CHARACTERS, description="One-time: to be changed at the first login")


class UserChange(BaseModel):
    """What is left out stays as it is."""

    role: RoleName | None = None
    enabled: bool | None = None
    password: str | None = Field(None, max_length=MAX_CHARACTERS, description="A new one-time password")


class NewToken(BaseModel):
    name: str = Field(pattern=NAME, examples=["billing-export"])
    role: RoleName = "viewer"
    login: str | None = Field(None, pattern=NAME, description="Whose rights bound it; default: one's own")
    valid_days: int | None = Field(None, ge=1, le=3660, description="Default: until it is revoked")


class Token(BaseModel):
    name: str
    token: str = Field(description="Shown only here", examples=["nbw_…"])
    expires_at: datetime | None


@router.get("/users", summary="All users")
async def users(context: Context, _administrator: Administrator) -> list[UserRow]:
    return await list_users(context.read)


@router.post("/users", status_code=201, summary="A new user with a one-time password")
async def add_user(context: Context, administrator: Administrator, body: NewUser) -> None:
    await create_user(context.write, body.login, Role.of(body.role), body.password, actor=administrator.login)


@router.patch("/users/{login}", status_code=204, summary="Change role, lock or unlock, or give a one-time password")
async def change_user(context: Context, administrator: Administrator, login: Login, body: UserChange) -> None:
    role = Role.of(body.role) if body.role else None
    await update_user(
        context.write, login, role=role, enabled=body.enabled, password=body.password, actor=administrator.login
    )


@router.get("/tokens", summary="API tokens, without their secrets")
async def tokens(context: Context, _administrator: Administrator) -> list[TokenRow]:
    return await list_tokens(context.read)


@router.post("/tokens", status_code=201, summary="A new API token; it is shown only in this answer")
async def add_token(context: Context, administrator: Administrator, body: NewToken) -> Token:
    expires_at = context.now() + timedelta(days=body.valid_days) if body.valid_days else None
    token = await create_token(
        context.write,
        body.name,
        body.login or administrator.login,
        Role.of(body.role),
        expires_at=expires_at,
        actor=administrator.login,
    )
    return Token(name=body.name, token=token, expires_at=expires_at)


@router.delete("/tokens/{name}", status_code=204, summary="Revoke a token")
async def remove_token(
    context: Context, administrator: Administrator, name: Annotated[str, Path(pattern=NAME)]
) -> None:
    await revoke_token(context.write, name, actor=administrator.login)
