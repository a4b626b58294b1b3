"""Pressure of a meter that has a sensor, over the last days."""

from __future__ import annotations

from datetime import timedelta

from nicegui import ui

from api.pages import charts
from api.pages.parts import card, place
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.pressure import PressureRow, list_pressure
from metering.model import MeterId

DAYS = 30
INTERVAL_S = 60.0


async def build(visit: Visit, meter_id: MeterId) -> None:
    """Nothing is drawn for a meter that never said a pressure."""
    say, container = visit.say, place()

    async def load() -> list[PressureRow]:
        now = visit.context.now()
        return await list_pressure(visit.context.read, meter_id, now - timedelta(days=DAYS), now + timedelta(days=1))

    def draw(found: list[PressureRow]) -> None:
        with redrawn(container):
            if not found:
                return
            with card(say("meter.pressure_chart")):
                labels = [row.at.astimezone(visit.context.zone).strftime("%m-%d %H:%M") for row in found]
                look = charts.Look(say("meter.pressure_chart"), visit.dark)
                values = {say("meter.pressure"): [float(row.pressure_kpa) for row in found]}
                ui.echart(charts.lines(labels, values, "kPa", look)).classes("nb-chart")

    await LiveView(visit, lambda: ("pressure", meter_id), load, draw, INTERVAL_S).start()
