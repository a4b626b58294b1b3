"""The pages: NiceGUI on the application's own port, in Chinese and English."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui

from api.context import PageContext
from api.guard import secure_cookie
from api.pages import (
    alerts,
    billing,
    campaigns,
    commands,
    completeness,
    dead_letters,
    districts,
    login,
    meter,
    meters,
    overview,
    path,
    preferences,
    strangers,
    suppressions,
    theme,
    unknown_devices,
)
from api.pages.frame import NOWHERE, PLACES, not_found, register
from api.pages.live import SharedAnswers
from api.pages.rate_history import RateHistory

RECONNECT_TIMEOUT_S = 30.0
MESSAGE_HISTORY = 200


def mount(app: FastAPI, context: PageContext) -> None:
    """Adds all pages to `app`. Call it last: the pages take every path that nothing else has."""
    answers = SharedAnswers()
    history = RateHistory(context.live, context.now)
    to_overview, to_meters, to_districts, to_alerts, to_commands, to_campaigns, *to_others = PLACES
    to_dead_letters, to_unknown_devices, to_path, to_completeness, to_billing = to_others
    app.include_router(theme.router)
    app.include_router(preferences.router)
    app.include_router(login.router(context))
    app.include_router(strangers.router)
    register(context, answers, "/", to_overview, lambda visit: overview.build(visit, history))
    register(context, answers, "/meters", to_meters, meters.build)
    register(context, answers, "/meters/{serial}", to_meters, meter.build)
    register(context, answers, districts.PATH, to_districts, districts.build)
    register(context, answers, "/alerts", to_alerts, alerts.build)
    register(context, answers, suppressions.PATH, to_alerts, suppressions.build)
    register(context, answers, "/commands", to_commands, commands.build)
    register(context, answers, campaigns.PATH, to_campaigns, campaigns.build)
    register(context, answers, "/dead-letters", to_dead_letters, dead_letters.build)
    register(context, answers, unknown_devices.PATH, to_unknown_devices, unknown_devices.build)
    register(context, answers, "/path", to_path, path.build)
    register(context, answers, "/completeness", to_completeness, completeness.build)
    register(context, answers, "/billing", to_billing, billing.build)
    register(context, answers, "/{path:path}", NOWHERE, not_found)
    _sample_while_serving(history)
    ui.run_with(
        app,
        title=context.utility.name_zh,
        favicon="💧",
        tailwind=False,
        reconnect_timeout=RECONNECT_TIMEOUT_S,
        message_history_length=MESSAGE_HISTORY,
        storage_secret=context.session_secret,
        session_middleware_kwargs={"https_only": secure_cookie(context.settings)["secure"], "same_site": "strict"},
        show_welcome_message=False,
    )


def _sample_while_serving(history: RateHistory) -> None:
    sampling: list[asyncio.Task[None]] = []

    async def stop() -> None:
        for task in sampling:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    nicegui_app.on_startup(lambda: sampling.append(asyncio.create_task(history.run())))
    nicegui_app.on_shutdown(stop)
