"""Doors as an option of a command."""

from __future__ import annotations

import click

from simulators.target import DOORS


class Doors(click.ParamType[tuple[str, ...]]):
    """Names with commas, or `all`."""

    name = "DOOR,…"

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        doors = (
            value if isinstance(value, tuple) else DOORS if value == "all" else tuple(dict.fromkeys(value.split(",")))
        )
        if odd := set(doors).difference(DOORS):
            self.fail(f"{', '.join(sorted(odd))}: there are {', '.join(DOORS)}", param, ctx)
        return doors
