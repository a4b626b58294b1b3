"""What routes and pages are given: built once, in `api/__main__.py` or a test, never by whoever uses it.

How pages and login fit together
--------------------------------
* `/login` (GET) must be a plain HTML form without websocket: strangers cannot open NiceGUI's. It posts `login`,
  `password` and `next` (a path) to `POST /login` (`api/routes/session.py`), which sets the cookie and redirects with
  303 to `next`, or back to `/login?error=credentials|throttled|unavailable&next=…`.
* `/password` (GET) is a plain HTML form too: posts `current`, `password` to `POST /password`; success redirects to `/`,
  failure to `/password?error=credentials|weak`. A user with `must_change` is redirected there from every page.
* `POST /logout` ends the session and redirects to `/login`; a plain form or `fetch` may call it.
* Every other page is reached only with a session; `principal_of(request)` says whose. Check `principal.role` with
  `Role.OPERATOR` etc. (they compare) before offering or doing what changes something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from starlette.requests import HTTPConnection

from api.auth import Auth
from api.database import ReadPool, WritePool
from api.live import LiveFigures
from api.path import PathReader
from api.roles import Principal
from api.stream import InFlightReader
from metering.credentials import MasterKeys
from metering.settings import (
    ApiSettings,
    BillingSettings,
    CommandSettings,
    CompletenessSettings,
    ConsumptionSettings,
    FirmwareSettings,
    UtilitySettings,
)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class PageContext:
    """Everything a page or route may use. Queries take `read`; what people decide goes through `write`."""

    read: ReadPool
    write: WritePool
    settings: ApiSettings
    utility: UtilitySettings
    zone: ZoneInfo
    """The utility's time zone."""
    silence_after: timedelta
    """A meter not heard of for this long is silent."""
    auth: Auth
    stream: InFlightReader
    """`await stream.in_flight()`: reports not yet taken; `reports is None` means unknown."""
    live: LiveFigures
    """`await live.overview()` and `await live.reports_per_s()`: shared by all viewers, at most a few seconds old."""
    path: PathReader
    """`await path.read()`: each stage of the data path, and the accounting."""
    session_secret: str
    """For NiceGUI's `storage_secret`."""
    now: Callable[[], datetime] = utc_now
    master_keys: MasterKeys | None = None
    """Seal new device keys; None: no key can be made here."""
    commands: CommandSettings = field(default_factory=CommandSettings)  # type: ignore[arg-type]  # all have defaults
    consumption: ConsumptionSettings = field(default_factory=ConsumptionSettings)  # type: ignore[arg-type]  # as above
    billing: BillingSettings = field(default_factory=BillingSettings)  # type: ignore[arg-type]  # as above
    completeness: CompletenessSettings = field(default_factory=CompletenessSettings)  # type: ignore[arg-type]  # as above
    firmware: FirmwareSettings = field(default_factory=FirmwareSettings)  # type: ignore[arg-type]  # all have defaults


def principal_of(connection: HTTPConnection) -> Principal:
    """Who is behind a request that passed the guard."""
    principal: Principal = connection.scope["state"]["principal"]
    return principal
