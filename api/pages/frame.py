"""What surrounds every page: title, header with the live indicator, menu, language, theme, who is signed in."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from fastapi import Request, Response
from nicegui import ui

from api.context import PageContext, principal_of
from api.pages import theme
from api.pages.live import SharedAnswers
from api.pages.parts import Words, attributes, box, link
from api.pages.preferences import is_dark, language_of
from api.pages.visit import Visit
from api.pages.wording import Language, Wording
from api.problems import of_error
from api.roles import Role
from metering.errors import NotFoundError, RequestError, UnavailableError

_log = structlog.get_logger()

Build = Callable[[Visit], Awaitable[None]]
RESPONSE_TIMEOUT_S = 30.0
DRAWER = "width=208 breakpoint=900 show-if-above no-swipe-open"
"""On narrow screens the menu lies over the page and is closed at first."""


class Place(NamedTuple):
    """An entry of the main menu."""

    path: str
    title_key: str
    icon: str
    role: Role = Role.VIEWER
    """Who may see it."""


PLACES = (
    Place("/", "frame.overview", "dashboard"),
    Place("/meters", "frame.meters", "water_drop"),
    Place("/districts", "frame.districts", "account_tree"),
    Place("/alerts", "frame.alerts", "notifications"),
    Place("/commands", "frame.commands", "settings_remote"),
    Place("/campaigns", "frame.campaigns", "system_update_alt"),
    Place("/dead-letters", "frame.dead_letters", "report_problem"),
    Place("/unknown-devices", "frame.unknown_devices", "sensors_off", Role.OPERATOR),
    Place("/path", "frame.path", "timeline", Role.OPERATOR),
    Place("/completeness", "frame.completeness", "fact_check"),
    Place("/billing", "frame.billing", "receipt_long"),
)
NOWHERE = Place("", "frame.not_found", "")
NOT_PAGES = ("/api/", "/_nicegui")
"""Below these, programs ask: what is not there is said as a problem, not as a page."""


def register(context: PageContext, answers: SharedAnswers, path: str, place: Place, build: Build) -> None:
    """Serves `build` at `path`, inside the frame. The guard of the application lets only people with a session by."""

    @ui.page(path, response_timeout=RESPONSE_TIMEOUT_S)
    async def shown(request: Request) -> Response | None:
        if place is NOWHERE and request.url.path.startswith(NOT_PAGES):
            return of_error(NotFoundError(f"there is nothing at {request.url.path}"))
        visit = _enter(context, answers, request)
        with _framed(visit, place):
            if visit.principal.role < place.role:
                visit.client.status_code = 403
                Words(visit.say("frame.forbidden"), "nb-empty", "h1")
                return None
            try:
                await build(visit)
            except UnavailableError as error:
                _log.warning("page_data_failed", path=request.url.path, error=str(error))
                _warn(visit.say("frame.data_failed_first"))
            except RequestError as error:
                _warn(visit.say("frame.refused", why=visit.say.refusal(error)))
            except Exception as error:  # a fault of ours: said in the reader's language, which nobody outside can
                _log.error("request_broke", path=request.url.path, exc_info=error)
                visit.client.status_code = 500
                _warn(visit.say("frame.broke"))
        return None


def _warn(words: str) -> None:
    attributes(Words(words, "nb-banner"), {"role": "alert"})


async def not_found(visit: Visit) -> None:
    """For addresses that lead nowhere."""
    visit.client.status_code = 404
    title(visit, visit.say("frame.not_found"))
    with box("nb-card"):
        Words(visit.say("frame.not_found"), "nb-empty", "h1")
        Words(visit.say("frame.not_found_hint"), "nb-empty")


def title(visit: Visit, text: str) -> None:
    """The page's title in the browser's tab, followed by the utility's name."""
    ui.page_title(f"{text} · {_utility(visit)}")


def _enter(context: PageContext, answers: SharedAnswers, request: Request) -> Visit:
    client = ui.context.client
    say = Wording(language_of(request, context.settings.language), context.zone)
    dark = is_dark(request)
    # NiceGUI takes language and darkness from the page's declaration, which all visitors share: give this one its own.
    client.page = copy.copy(client.page)
    client.page.language = "zh-CN" if say.language is Language.ZH else "en-US"
    client.page.dark = dark
    return Visit(context, answers, principal_of(request), say, dark, request, client)


@contextmanager
def _framed(visit: Visit, place: Place) -> Iterator[None]:
    ui.add_head_html(f'<link rel="stylesheet" href="{theme.path_of("theme.css")}">')
    ui.add_body_html(f'<script defer src="{theme.path_of("live.js")}"></script>')
    ui.colors(primary="#5ab4d6" if visit.dark else "#0b6a8f", negative="#c2410c", positive="#00694c")
    title(visit, visit.say(place.title_key))
    drawer = ui.left_drawer(value=False, fixed=True).props(DRAWER).classes("nb-drawer")
    with ui.header(wrap=False).classes("nb-header"):
        _header(visit, drawer)
    with drawer:
        _menu(visit, place)
    with box("nb-page", "main", style="display:contents") as main:
        ui.skip_link(visit.say("frame.skip"), target=main)
        yield


def _header(visit: Visit, drawer: ui.left_drawer) -> None:
    say = visit.say
    attributes(
        ui.button(icon="menu", on_click=drawer.toggle, color=None).props("flat dense"),
        {"aria-label": say("frame.menu")},
    )
    Words(_utility(visit), "nb-name", "span")
    Words(say("frame.product"), "nb-product", "span")
    ui.element("span").classes("nb-grow")
    said = {
        "role": "status",
        "aria-label": say("frame.live_label"),
        "data-now": say("frame.live_now"),
        "data-age": say("frame.live_age"),
        "data-stale": say("frame.live_stale"),
        "data-seconds": say("frame.seconds_short"),
        "data-minutes": say("frame.minutes_short"),
    }
    with attributes(ui.element("span").classes("nb-live"), said):
        Words(say("frame.live"), "nb-live-word", "span")
        ui.element("span").classes("nb-live-words")
    to_theme = say("frame.to_light") if visit.dark else say("frame.to_dark")
    target = "/preferences/theme/light" if visit.dark else "/preferences/theme/dark"
    with box("nb-icon", "a", **{"href": target, "aria-label": to_theme, "title": to_theme}):
        ui.icon("light_mode" if visit.dark else "dark_mode")
    other = Language.EN if say.language is Language.ZH else Language.ZH
    attributes(
        link(say("frame.language"), f"/preferences/language/{other}", "nb-language"),
        {"lang": "en" if other is Language.EN else "zh-CN", "aria-label": say("frame.language_label")},
    )


def _menu(visit: Visit, here: Place) -> None:
    say = visit.say
    with box("nb-nav", "nav", **{"aria-label": say("frame.navigation")}):
        for place in (place for place in PLACES if visit.principal.role >= place.role):
            current = {"aria-current": "page"} if place is here else {}
            with box("nb-here" if place is here else "", "a", href=place.path, **current):
                ui.icon(place.icon)
                Words(say(place.title_key), tag="span")
        if visit.principal.role >= Role.ENGINEER:
            with box("", "a", href="/api/v1/openapi.json"):
                ui.icon("code")
                Words(say("frame.api"), tag="span")
    with box("nb-who"):
        role = say(f"frame.role.{visit.principal.role.label}")
        Words(say("frame.signed_in", login=visit.principal.login, role=role))
        with box("", "form", method="post", action="/logout"):
            attributes(Words(say("frame.logout"), "nb-plain", "button"), {"type": "submit"})


def _utility(visit: Visit) -> str:
    utility = visit.context.utility
    return utility.name_zh if visit.say.language is Language.ZH else utility.name_en
