"""Unknown devices that knocked: taken in or dismissed. Names stand in the body: they are anybody's text."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.queries.meters import MAX_SEARCH_CHARACTERS
from api.queries.paging import Page
from api.queries.strangers import StrangerRow, approve_stranger, dismiss_stranger, list_strangers
from api.routes.asking import Context, Cursor, Engineer, Limit, Operator
from metering.strangers import MAX_NAME_CHARACTERS, MAX_SOURCE_CHARACTERS

router = APIRouter(tags=["strangers"])

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS, examples=["861234567890123"])]


class Approval(BaseModel):
    name: Name
    serial: str = Field(max_length=32, description="Of its meter, which is made when there is none")
    plain: bool = Field(False, description="It may speak without a key, from `source`")
    source: str = Field(
        "", max_length=MAX_SOURCE_CHARACTERS, description="With `plain`: the address it knocks from, as it is listed"
    )


class Dismissal(BaseModel):
    name: Name


class Approved(BaseModel):
    device: str = Field(description="Canonical name of the device")


@router.get("/strangers", summary="Unknown devices, who knocked last first")
async def strangers(
    context: Context,
    _operator: Operator,
    dismissed: bool = False,
    search: Annotated[str | None, Query(max_length=MAX_SEARCH_CHARACTERS)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[StrangerRow]:
    return await list_strangers(context.read, dismissed=dismissed, search=search, limit=limit, cursor=cursor)


@router.post("/strangers/approve", status_code=201, summary="It is ours: take it into the registry")
async def approve(context: Context, engineer: Engineer, body: Approval) -> Approved:
    device = await approve_stranger(
        context.write, body.name, body.serial, body.plain, actor=engineer.login, source=body.source
    )
    return Approved(device=device)


@router.post("/strangers/dismiss", status_code=204, summary="Leave it out of the list")
async def dismiss(context: Context, engineer: Engineer, body: Dismissal) -> None:
    await dismiss_stranger(context.write, body.name, actor=engineer.login)
