"""What a browser remembers of its reader: language and theme, in two cookies that hold nothing else.

Changing one is a plain link that comes back to the page it was on, so that it works on every page, by keyboard and
before the login.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.pages.wording import Language

LANGUAGE_COOKIE = "nbwater_language"
THEME_COOKIE = "nbwater_theme"
KEEP_S = 365 * 86400

router = APIRouter(include_in_schema=False)


@router.get("/preferences/language/{language}")
async def choose_language(language: Language, request: Request) -> Response:
    return _back(request, LANGUAGE_COOKIE, language)


@router.get("/preferences/theme/{theme}")
async def choose_theme(theme: str, request: Request) -> Response:
    return _back(request, THEME_COOKIE, "dark" if theme == "dark" else "light")


def language_of(request: Request, default: str) -> Language:
    chosen = request.cookies.get(LANGUAGE_COOKIE, default)
    return Language(chosen) if chosen in set(Language) else Language.ZH


def is_dark(request: Request) -> bool:
    return request.cookies.get(THEME_COOKIE) == "dark"


def local_target(target: str | None) -> str:
    """`target` as a path of this very site; "/" when it is none, so that no link can lead a reader elsewhere."""
    parts = urlsplit((target or "/").replace("\\", "/"))
    if parts.scheme or parts.netloc or not parts.path.startswith("/") or parts.path.startswith("//"):
        return "/"
    return parts.path + (f"?{parts.query}" if parts.query else "")


def remember(answer: Response, request: Request, cookie: str, value: str) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(cookie, value, max_age=KEEP_S, httponly=True, samesite="lax", secure=secure)


def _back(request: Request, cookie: str, value: str) -> Response:
    came_from = urlsplit(request.headers.get("referer", ""))
    target = f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path
    if came_from.netloc != request.headers.get("host") or target.startswith("/preferences"):
        target = "/"
    answer = RedirectResponse(local_target(target), status_code=303)
    remember(answer, request, cookie, value)
    return answer
