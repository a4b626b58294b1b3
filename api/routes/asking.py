"""What routes ask for: the context, who is asking, and parameters that several routes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, FastAPI, Path, Query, Request

from api.context import PageContext
from api.queries.accounting import midnight
from api.queries.paging import MAX_CURSOR_CHARACTERS, MAX_LIMIT
from api.roles import ForbiddenError, Principal, Role, UnauthenticatedError
from metering.errors import RequestError

FIRST_YEAR, LAST_YEAR = 1990, 2200
DEFAULT_DAYS = 7


def give(app: FastAPI, context: PageContext) -> None:
    app.state.context = context


def _context(request: Request) -> PageContext:
    context: PageContext = request.app.state.context
    return context


def require(role: Role) -> Callable[[Request], Principal]:
    """A dependency that lets pass whoever has at least this role."""

    def check(request: Request) -> Principal:
        principal: Principal | None = request.scope["state"]["principal"]
        if principal is None:
            raise UnauthenticatedError("log in, or send a token as `Authorization: Bearer nbw_…`")
        if principal.role < role:
            raise ForbiddenError(f"this needs the role {role.label}; {principal.login} is {principal.role.label}")
        return principal

    check.needs = role  # type: ignore[attr-defined] # read by the test that no route is left unprotected
    return check


Context = Annotated[PageContext, Depends(_context)]
Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Operator = Annotated[Principal, Depends(require(Role.OPERATOR))]
Engineer = Annotated[Principal, Depends(require(Role.ENGINEER))]
Administrator = Annotated[Principal, Depends(require(Role.ADMINISTRATOR))]

Serial = Annotated[str, Path(max_length=64, description="Serial as printed on the meter", examples=["434045073902"])]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows a page")]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR_CHARACTERS, description="`next_cursor` of the page before")]


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


def wants_csv(
    request: Request,
    form: Annotated[Format | None, Query(alias="format", description="Overrides the Accept header")] = None,
) -> bool:
    return form is Format.CSV or (form is None and "text/csv" in request.headers.get("accept", ""))


WantsCsv = Annotated[bool, Depends(wants_csv)]


@dataclass(frozen=True, slots=True)
class Period:
    """Local days, both included; `since` <= t < `until` are the same as instants."""

    first: date
    last: date
    since: datetime
    until: datetime


def period(
    context: Context,
    first: Annotated[
        date | None, Query(alias="from", description="First local day; by default a week ago", examples=["2026-03-01"])
    ] = None,
    last: Annotated[
        date | None,
        Query(alias="to", description="Last local day; by default today", examples=["2026-03-07"]),
    ] = None,
) -> Period:
    last = last or context.now().astimezone(context.zone).date()
    if not FIRST_YEAR <= last.year <= LAST_YEAR or (first and not FIRST_YEAR <= first.year <= LAST_YEAR):
        raise RequestError(f"a day lies in the years {FIRST_YEAR} to {LAST_YEAR}")
    first = first or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise RequestError("`from` lies after `to`")
    return Period(first, last, midnight(first, context.zone), midnight(last + timedelta(days=1), context.zone))


Days = Annotated[Period, Depends(period)]
