"""Commands to meters: file, look, approve, cancel."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, Field

from api.queries.commanding import MAX_ORDERS, Filing, Order, approve_command, cancel_command, file_commands
from api.queries.commands import CommandDetail, CommandFilter, CommandRow, get_command, list_commands
from api.queries.paging import Page
from api.reasons import MAX_REASON_CHARACTERS
from api.routes.asking import Context, Cursor, Limit, Operator, Viewer
from metering.command_arguments import kind_name
from metering.commands import MAX_TTL_S, CommandKind, CommandState
from metering.errors import RequestError

router = APIRouter(tags=["commands"])

CommandId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="As it travels, 16 hexadecimal digits")]
KINDS = {kind_name(kind): kind for kind in CommandKind}


class Wish(BaseModel):
    """The same command for each of the meters. What each kind takes: valve `{"valve": "close"}`; reporting_plan
    `{"period_s", "offset_s", "interval_s"}`; read_history `{"from_s", "to_s"}`; set_clock nothing, or `{"unix_s"}`; raw
    `{"frame": hex}`; report_now nothing."""

    serials: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=MAX_ORDERS)
    kind: str = Field(max_length=32, examples=["valve"])
    arguments: dict[str, Any] = Field(default={}, max_length=8, examples=[{"valve": "close"}])
    reason: str = Field("", max_length=MAX_REASON_CHARACTERS, examples=["burst behind the meter"])
    ttl_h: float | None = Field(None, gt=0, le=MAX_TTL_S / 3600, description="It expires then; default: the settings")


class Word(BaseModel):
    reason: str = Field("", max_length=MAX_REASON_CHARACTERS)


def kind_of(name: str) -> CommandKind:
    """Raises RequestError."""
    try:
        return KINDS[name]
    except KeyError as error:
        raise RequestError(f"a kind is one of {', '.join(KINDS)}") from error


@router.get("/commands", summary="Commands, the newest first")
async def commands(
    context: Context,
    _viewer: Viewer,
    state: Annotated[list[CommandState], Query(max_length=8, description="Repeat for several; none: all")] = [],  # noqa: B006 - FastAPI copies it
    kind: Annotated[str | None, Query(max_length=32)] = None,
    serial: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CommandRow]:
    wanted = CommandFilter(state, None if kind is None else kind_of(kind), serial)
    return await list_commands(context.read, wanted, limit=limit, cursor=cursor)


@router.post("/commands", status_code=201, summary="File a command for one or several meters")
async def file(context: Context, operator: Operator, wish: Wish) -> list[str]:
    """The ids, in the order of the meters. Closing a valve then waits for a second person."""
    filing = Filing(
        kind_of(wish.kind),
        [Order(serial, wish.arguments) for serial in wish.serials],
        wish.reason,
        None if wish.ttl_h is None else timedelta(hours=wish.ttl_h),
    )
    return await file_commands(context.write, operator, filing, context.commands, context.now())


@router.get("/commands/{command_id}", summary="One command with its life")
async def command(context: Context, _viewer: Viewer, command_id: CommandId) -> CommandDetail:
    return await get_command(context.read, command_id)


@router.post("/commands/{command_id}/approve", summary="The second person's word")
async def approve(context: Context, operator: Operator, command_id: CommandId) -> CommandDetail:
    await approve_command(context.write, operator, command_id, context.commands, context.now())
    return await get_command(context.read, command_id)


@router.post("/commands/{command_id}/cancel", summary="Call it back, as far as that goes")
async def cancel(
    context: Context, operator: Operator, command_id: CommandId, word: Annotated[Word | None, Body()] = None
) -> CommandDetail:
    await cancel_command(context.write, operator, command_id, word.reason if word else "", context.now())
    return await get_command(context.read, command_id)
