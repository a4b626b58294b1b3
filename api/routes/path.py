"""The data path, stage by stage, and the way of one report through it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter

from api.path import Stage
from api.queries.trace import Trace, get_trace
from api.routes.accounting import AccountingLine, line_of
from api.routes.asking import Context, Operator, Viewer
from api.stream import InFlight

router = APIRouter(tags=["path"])


@dataclass(frozen=True, slots=True)
class PathAnswer:
    """Figures with `value` null are unknown. `adds_up`: received = stored + partial + duplicate + dead-lettered, for
    every door and day of the last week; what is in flight is not yet counted as received."""

    stages: list[Stage]
    accounting: list[AccountingLine]
    in_flight: InFlight
    adds_up: bool
    as_of: datetime


@router.get("/path", summary="Every stage of the data path: state, queues, rates; and the accounting")
async def path(context: Context, _operator: Operator) -> PathAnswer:
    found = await context.path.read()
    lines = [line_of(row) for row in found.accounting]
    return PathAnswer(found.stages, lines, found.in_flight, found.adds_up, found.as_of)


@router.get("/reports/{report_id}/trace", summary="What is known of one report, in the order in which it happened")
async def trace(context: Context, _viewer: Viewer, report_id: str) -> Trace:
    return await get_trace(context.read, report_id, context.zone.key)
