"""One open page: who looks at it, in which language, and how it keeps up with the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from fastapi import Request
from nicegui import Client, ui
from nicegui.element import Element

from api.accounts import hash_of
from api.context import PageContext
from api.guard import COOKIE
from api.pages import parts
from api.pages.live import Answer, SharedAnswers
from api.pages.wording import Wording
from api.roles import Principal, Role
from metering.errors import RequestError, UnavailableError

T = TypeVar("T")

SESSION_S = 5.0
"""An open page notices within this, and its own interval, that its session is over."""
RELOAD = "window.nbwaterLeaving ||= (window.location.reload(), true)"
"""Once, though each part of a page notices by itself."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Visit:
    context: PageContext
    answers: SharedAnswers
    principal: Principal
    say: Wording
    dark: bool
    request: Request
    client: Client

    def asked(self, name: str, allowed: set[str] | None = None) -> str:
        """A parameter of the address; empty when it is missing or none of those allowed."""
        value = self.request.query_params.get(name, "")
        return value if allowed is None or value in allowed else ""

    async def still(self, role: Role) -> Principal | None:
        """Who looks, asked again, for the page may be older than the session; None unless they still have the role."""
        principal = await self.context.auth.session_of(self.request.cookies.get(COOKIE, ""))
        return principal if principal is not None and principal.role >= role else None

    async def welcome(self) -> bool:
        """Whether the session this page was opened with is what it was: same person, same role, neither logged out nor
        locked. Raises UnavailableError."""
        if self.principal.via == "token":
            return True
        cookie = self.request.cookies.get(COOKIE, "")
        answer = await self.answers.get(
            ("session", hash_of(cookie)), SESSION_S, lambda: self.context.auth.session_of(cookie)
        )
        return bool(answer.value == self.principal)


class LiveView(Generic[T]):
    """A part of a page that draws an answer, and draws it again when it has changed.

    `key` and `load` may change between two looks (a filter does that); `look` takes the present ones.
    """

    def __init__(
        self,
        visit: Visit,
        key: Callable[[], Hashable],
        load: Callable[[], Awaitable[T]],
        draw: Callable[[T], None],
        interval_s: float,
    ) -> None:
        self._visit, self._key, self._load, self._draw, self._interval_s = visit, key, load, draw, interval_s
        self._drawn: Answer[T] | None = None
        self._banner: parts.Words = parts.Words("", "nb-banner")
        parts.attributes(self._banner, {"role": "alert"})
        self._banner.set_visibility(False)

    async def start(self) -> None:
        """Draws, and keeps looking for as long as the page is open. Call it where the part's banner may stand."""
        await self.look()
        ui.timer(self._interval_s, self.look, immediate=False)

    async def look(self) -> None:
        visit = self._visit
        try:
            if not await visit.welcome():
                visit.client.run_javascript(RELOAD)  # the guard then asks to log in, and leads back here
                return
            answer = await visit.answers.get(self._key(), self._interval_s * 0.9, self._load)
        except UnavailableError as error:
            _log.warning("page_data_failed", path=visit.request.url.path, error=str(error))
            self._warn(visit.say("frame.data_failed" if self._drawn else "frame.data_failed_first"))
            return
        except RequestError as error:
            self._warn(visit.say("frame.refused", why=visit.say.refusal(error)))
            return
        self._banner.set_visibility(False)
        if self._drawn is None or answer.value != self._drawn.value:
            self._draw(answer.value)
        self._drawn = answer
        age_s = visit.answers.age_s(answer)
        visit.client.run_javascript(f"window.nbwaterFresh?.({age_s:.1f}, {self._interval_s:.0f})")

    def _warn(self, words: str) -> None:
        self._banner.text = words
        self._banner.set_visibility(True)


def redrawn(container: Element) -> AbstractContextManager[Any]:
    """An empty container to draw into."""
    container.clear()
    return container
