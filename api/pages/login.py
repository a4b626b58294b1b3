"""Login and change of password: plain forms, since strangers get no websocket."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api import passwords
from api.context import PageContext
from api.pages import theme
from api.pages.preferences import LANGUAGE_COOKIE, is_dark, language_of, local_target, remember
from api.pages.wording import Language, Wording

LOGIN_ERRORS = frozenset({"credentials", "throttled", "unavailable"})
PASSWORD_ERRORS = LOGIN_ERRORS | {"weak"}
MAX_CHARACTERS = 1_000
"""Of a field: as many as the forms' POST takes, which answers more with an error for programs."""

_DOCUMENT = """<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {utility}</title><link rel="stylesheet" href="{stylesheet}"><link rel="icon" href="data:,"></head>
<body class="{body}"><main class="nb-login"><div class="nb-login-top"><h1>{utility}</h1>
<a href="{switch}" lang="{other}" aria-label="{language_label}">{language}</a></div>
<div class="nb-muted">{product}</div>{error}{form}</main></body></html>
"""

_FIELD = (
    '<label>{name}<input name="{field}" type="{kind}" autocomplete="{complete}" required maxlength="{most}" {extra}>'
    "</label>"
)


def router(context: PageContext) -> APIRouter:
    """GET /login and GET /password; their POST counterparts are REST's."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/login", response_class=HTMLResponse)
    async def login(request: Request) -> HTMLResponse:
        say = _wording(context, request)
        target = escape(local_target(request.query_params.get("next")), quote=True)
        form = (
            f'<form method="post" action="/login"><input type="hidden" name="next" value="{target}">'
            + _field(say("login.login"), "login", "text", "username", "autofocus")
            + _field(say("login.password"), "password", "password", "current-password")
            + f'<button type="submit">{escape(say("login.submit"))}</button></form>'
            + f'<div class="nb-muted nb-small">{escape(say("login.hint"))}</div>'
        )
        return _document(context, request, "login", form, LOGIN_ERRORS)

    @routes.get("/password", response_class=HTMLResponse)
    async def password(request: Request) -> HTMLResponse:
        say = _wording(context, request)
        form = (
            f'<div>{escape(say("password.must"))}</div><form method="post" action="/password">'
            + _field(say("password.current"), "current", "password", "current-password", "autofocus")
            + _field(say("password.new"), "password", "password", "new-password")
            + f'<button type="submit">{escape(say("password.submit"))}</button></form>'
        )
        return _document(context, request, "password", form, PASSWORD_ERRORS)

    return routes


def _document(context: PageContext, request: Request, page: str, form: str, errors: frozenset[str]) -> HTMLResponse:
    say = _wording(context, request)
    chinese = say.language is Language.ZH
    error = request.query_params.get("error", "")
    said = ""
    if error in errors:
        why = say(f"{page}.error.{error}", fewest=passwords.MIN_CHARACTERS, most=passwords.MAX_CHARACTERS)
        said = f'<div class="nb-banner" role="alert">{escape(why)}</div>'
    body = _DOCUMENT.format(
        lang="zh-CN" if chinese else "en",
        other="en" if chinese else "zh-CN",
        switch=escape(_switch(request, Language.EN if chinese else Language.ZH), quote=True),
        title=escape(say(f"{page}.title")),
        utility=escape(context.utility.name_zh if chinese else context.utility.name_en),
        stylesheet=theme.path_of("theme.css"),
        body="body--dark" if is_dark(request) else "",
        language=escape(say("frame.language")),
        language_label=escape(say("frame.language_label"), quote=True),
        product=escape(say("frame.product")),
        error=said,
        form=form,
    )
    answer = HTMLResponse(body, headers={"Cache-Control": "no-store"})
    if request.query_params.get("language"):
        remember(answer, request, LANGUAGE_COOKIE, say.language)
    return answer


def _switch(request: Request, language: Language) -> str:
    """This very form in another language: strangers reach no other address."""
    return f"{request.url.path}?{urlencode({**request.query_params, 'language': str(language)})}"


def _field(name: str, field: str, kind: str, complete: str, extra: str = "") -> str:
    return _FIELD.format(name=escape(name), field=field, kind=kind, complete=complete, extra=extra, most=MAX_CHARACTERS)


def _wording(context: PageContext, request: Request) -> Wording:
    asked = request.query_params.get("language", "")
    language = Language(asked) if asked in set(Language) else language_of(request, context.settings.language)
    return Wording(language, context.zone)
